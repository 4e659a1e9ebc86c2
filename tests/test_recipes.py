"""Recipes: by name, by file, and what is refused."""

from pathlib import Path

import pytest

from lite_toolkit.errors import RecipeError
from lite_toolkit.quantization import recipes


def test_every_recipe_in_the_folder_loads() -> None:
    assert {"int8", "int8-minmax", "int8-per-tensor", "int16x8", "dynamic", "float16"} <= set(recipes.names())
    for name in recipes.names():
        assert recipes.load(name).name == name


def test_each_format_has_a_default_of_its_name() -> None:
    assert [recipes.default(form).format for form in recipes.FORMATS] == list(recipes.FORMATS)


def test_a_file_of_ones_own_works_the_same(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('format = "int8"\ngranularity = "tensor"\nsamples = 7\n')
    assert recipes.load(str(path)) == recipes.Recipe("mine", "int8", "tensor", samples=7)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('format = "int4"', "format 'int4': must be one of float32, float16, dynamic, int8, int16x8"),
        ('format = "int8"\nsample = 3', "unknown key 'sample': choose from format, granularity, rounding"),
        ('format = "int8"\nsamples = 0', "samples 0: must be a whole number from 1"),
        ('format = "int8"\nsamples = true', "samples True"),
        ('format = "int8"\nseed = 1.5', "seed 1.5"),
        ('format = ["int8"]', "format"),
        (
            'format = "int8"\ncorrections = "bias"',
            "corrections 'bias': must be a list, each one of inputs, slope, bias",
        ),
        ('format = "int8"\ncorrections = ["gain"]', r"corrections\[0\] 'gain': must be one of inputs, slope, bias"),
        ('format = "int8"\nin_float = ["("]', r"in_float\[0\] '\(': no regular expression"),
        ('format = "int8"\nin_float = [3]', r"in_float\[0\] 3: must be a text"),
        (f'format = "int8"\nin_float = ["{"(" * 5000}"]', "no regular expression"),
        ('format = "int8"\nin_float = ["a{99999999999}"]', "no regular expression"),
        ('format = "int8"\nactivation = "tanh"', "activation 'tanh': must be one of softmax, none"),
        ('format = "int8"\nranges = "best"', "ranges 'best': must be one of minmax, mse"),
        ('format = "int8"\ndamping = -1', "damping -1: must be a finite number from 0 to 10"),
        ('format = "int8"\ngranularity = "tensor"\ncorrections = ["slope"]', "'slope' needs granularity 'channel'"),
        ("samples = 3", "'format' is missing: must be one of float32"),
        ("format int8", "is not a TOML file"),
        (f"seed = {'9' * 5000}", "is not a TOML file"),
        (f"seed = {'[' * 3000}", "is not a TOML file"),
        (f'format = "int8"\nseed = 0x{"f" * 5000}', "seed a number of 20,000 bits: must be a whole number from 0"),
    ],
)
def test_what_a_recipe_may_not_say(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(text)
    with pytest.raises(RecipeError, match=message):
        recipes.load(str(path))


@pytest.mark.parametrize("name", ["int9", "../int8", "missing.toml"])
def test_an_unknown_recipe_is_refused(name: str) -> None:
    with pytest.raises(RecipeError, match=name):
        recipes.load(name)
