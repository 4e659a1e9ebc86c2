"""What requests refuse, of whoever makes them: before anything is read or TensorFlow starts."""

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from lite_toolkit.bundle import packing
from lite_toolkit.cli.main import main
from lite_toolkit.conversion.request import Request
from lite_toolkit.edgetpu import compiler
from lite_toolkit.errors import UnknownVariantError, UsageError
from lite_toolkit.measurement.classification import Classifier
from lite_toolkit.measurement.validation import validate
from lite_toolkit.quantization import recipes
from lite_toolkit.quantization.recipes import default

INT8, INT16X8, FLOAT32 = default("int8"), default("int16x8"), default("float32")
LITE0 = {"recipes": (INT8,), "variant": "lite0"}
OWN = {"recipes": (INT8,), "model": Path("own.keras")}
EDGETPU = LITE0 | {"target": "edgetpu"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"recipes": ()}, "choose a format: --float32, --float16, --dynamic, --int8, --int16x8, or a --recipe"),
        ({"recipes": (INT8, recipes.load("int8-fast"))}, "several recipes make int8: a format has one file"),
        ({"variant": None}, "pass either --variant or --model"),
        (OWN, "pass either --variant or --model"),
        ({"recipes": (INT8, INT16X8), "output": Path("a.tflite")}, "--output a.tflite is one file, but 2 formats"),
        ({"io": "int16"}, "--io int16 does not go with int8, which has uint8, int8, float32"),
        ({"recipes": (FLOAT32,), "io": "int8"}, "--io int8 does not go with float32, which has no choice"),
        ({"max_drop": 101}, "--max-drop 101: must be from 0 to 100"),
        ({"max_drop": math.nan}, "--max-drop nan: must be from 0 to 100"),
        (
            {"recipes": (FLOAT32,), "max_drop": 1},
            "--max-drop belongs to the formats that are calibrated: int8, int16x8",
        ),
        ({"min_agreement": -1}, "--min-agreement -1: must be from 0 to 100"),
        ({"classes": 0}, "--classes 0: must be at least 1"),
        ({"input_size": 31}, "--input-size 31: must be at least 32"),
        ({"activation": "relu"}, "--activation relu: choose from softmax, none"),
        ({"conventions": "caffe"}, "--conventions caffe: choose from tensorflow, pytorch"),
        ({"target": "tpu"}, "--target tpu: choose from edgetpu"),
        ({"class_index": Path("a.csv")}, "--class-index tells --max-drop the classes of a folder's images: pass both"),
        (EDGETPU | {"io": "float32"}, "--io float32 contradicts --target edgetpu, which takes uint8 or int8"),
        (EDGETPU | {"max_drop": 1}, "--max-drop keeps layers in float, which --target edgetpu does not run"),
        (EDGETPU | {"recipes": (INT16X8,)}, "--int16x8 contradicts --target edgetpu, which takes int8 alone"),
        (EDGETPU | {"recipes": (FLOAT32,)}, "which takes int8 alone: --keep-float writes that too"),
        (
            EDGETPU | {"recipes": (dataclasses.replace(INT8, in_float=("a",)),)},
            "--recipe int8 keeps layers in float, which --target edgetpu does not run: leave out in_float",
        ),
    ],
)
def test_values_that_mean_nothing_together(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        Request(**LITE0 | options)
    assert message in str(caught.value)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    "options",
    [{"weights": "none"}, {"conventions": "pytorch"}, {"classes": 3}, {"activation": "none"}],
)
def test_a_model_of_ones_own_has_its_own(options: dict[str, Any]) -> None:
    with pytest.raises(
        UsageError, match=f"--{next(iter(options))} belongs to --variant: a model of your own has its own"
    ):
        Request(**OWN | options)
    with pytest.raises(UsageError, match="recipe int8 sets the activation: a model of your own has its own"):
        Request(**OWN | {"recipes": (dataclasses.replace(INT8, activation="none"),)})


@pytest.mark.parametrize(
    ("variant", "file"),
    [
        ("google/efficientnet-b7", "b7-int8.tflite"),
        ("hf-hub:timm/efficientnet_b2a", "efficientnet_b2a-int8.tflite"),
        ("EfficientNetLiteB0Backbone", "lite0-int8.tflite"),
    ],
)
def test_files_have_our_name_of_the_variant(variant: str, file: str) -> None:
    assert Request((INT8,), variant).path(INT8) == Path(file)


def test_an_unknown_variant_is_told_at_once() -> None:
    with pytest.raises(UnknownVariantError):
        Request(**LITE0 | {"variant": "lite9"})


def test_the_command_line_shows_the_same_words_below_its_usage() -> None:
    found = CliRunner().invoke(
        main, ["convert", "--variant", "lite0", "--int8", "--target", "edgetpu", "--io", "float32"]
    )
    assert (found.exit_code, found.stdout) == (2, "")
    assert found.stderr.startswith("Usage: main convert [OPTIONS]\n")
    assert found.stderr.endswith("\n\nError: --io float32 contradicts --target edgetpu, which takes uint8 or int8\n")


def test_a_named_recipe_is_for_its_own_format() -> None:
    fast, other = recipes.choose(("int8", "int16x8"), "int8-fast", None)
    assert (fast.name, other.name) == ("int8-fast", "int16x8")
    assert [one.samples for one in recipes.choose(("int8", "int16x8"), "int8-fast", 7)] == [7, 7]
    assert [one.name for one in recipes.choose((), "int8-fast", None)] == ["int8-fast"]
    with pytest.raises(UsageError, match="recipe int8-fast makes int8: pass --int8, or leave the format out"):
        recipes.choose(("int16x8",), "int8-fast", None)


def test_every_recipe_has_images_of_its_own() -> None:
    fast = recipes.load("int8-fast")
    request = Request(**LITE0 | {"recipes": (default("float16"), fast, dataclasses.replace(INT16X8, seed=3))})
    assert [request.sampling(recipe) for recipe in request.recipes] == [(40, 0), (40, 0), (128, 3)]


FILE = Path("model.tflite")


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda: compiler.Request((FILE,), FILE, segments=65), "--segments 65: must be from 1 to 64"),
        (lambda: compiler.Request((FILE,), FILE, timeout=math.nan), "--timeout nan: must be at least 1"),
        (lambda: compiler.Request((FILE,), FILE, minimum_runtime=9), "--min-runtime 9: must be at least 10"),
        (lambda: packing.Request(FILE, (), FILE), "--target: choose from python, android"),
        (lambda: packing.Request(FILE, ("ios", "palm"), FILE), "--target palm: choose from python, android"),
        (lambda: Classifier(FILE, threads=257), "--threads 257: must be from 1 to 256"),
        (lambda: validate(FILE, FILE, FILE, samples=0), "--samples 0: must be at least 1"),
    ],
)
def test_other_requests_refuse_what_their_commands_do(ask: Callable[[], object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        ask()
