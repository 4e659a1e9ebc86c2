"""Decoding: what the types of a dataclass allow, what is refused and in which words, and the way back."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lite_toolkit.decoding import Count, Limit, Line, Positive, between, decode, encode, encode_fields
from lite_toolkit.errors import ImageError, ReportError
from lite_toolkit.text import shown


@dataclass(frozen=True)
class Layer:
    name: str
    sqnr_db: float | None = None


@dataclass(frozen=True)
class Report:
    file: str
    format: Literal["int8", "float32"] = "int8"
    threads: Annotated[int, between(1, 256)] = 4
    images: Count = 0
    latency_ms: Positive = 1.0
    cold: bool = False
    size: tuple[int, int] = (1, 1)
    layers: tuple[Layer, ...] = ()
    environment: Mapping[str, str | int | tuple[str, ...]] | None = None
    title: Line = "a title"
    note: Annotated[str, shown] = ""
    few: Annotated[tuple[int, ...], Limit(lambda values: len(values) < 3, "of 2 at most")] = ()
    path: Path = Path()
    extra: Any = None


WHOLE = {
    "file": "m.tflite",
    "format": "float32",
    "threads": 2,
    "images": 2**53,
    "latency_ms": 0.5,
    "cold": True,
    "size": [3, -4],
    "layers": [{"name": "stem", "sqnr_db": None}, {"name": "head", "sqnr_db": 41.5}],
    "environment": {"a board": "pi", "cores": 4, "flags": ["neon", "fp16"]},
    "title": "Größe",
    "note": "ok",
    "few": [1, 2],
    "path": "a/b",
    "extra": {"any": [1, {"thing": None}]},
}


def decoded(**content: object) -> Report:
    return decode(Report, {"file": "m.tflite", **content}, "r.json", ReportError)


def test_what_json_says_becomes_values_of_the_fields_types() -> None:
    assert decode(Report, json.loads(json.dumps(WHOLE)), "r.json", ReportError) == Report(
        file="m.tflite",
        format="float32",
        threads=2,
        images=2**53,
        latency_ms=0.5,
        cold=True,
        size=(3, -4),
        layers=(Layer("stem"), Layer("head", 41.5)),
        environment={"a board": "pi", "cores": 4, "flags": ("neon", "fp16")},
        title="Größe",
        note="ok",
        few=(1, 2),
        path=Path("a/b"),
        extra={"any": [1, {"thing": None}]},
    )


def test_what_was_decoded_is_encoded_to_the_same_json_in_the_order_of_the_fields() -> None:
    assert json.dumps(encode(decoded(**WHOLE))) == json.dumps(WHOLE)


def test_a_whole_number_is_a_float_where_one_is_wanted() -> None:
    found = decoded(latency_ms=2).latency_ms
    assert (found, type(found)) == (2.0, float)


def test_a_field_with_a_default_may_be_absent() -> None:
    assert decoded() == Report("m.tflite")


def test_a_text_that_is_shown_is_made_fit_for_it_and_no_other_is() -> None:
    assert decoded(note="red\x1b[31m").note == "red\ufffd[31m"
    assert decoded(file="red\x1b[31m").file == "red\x1b[31m"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"format": "int4"}, "format 'int4': must be one of int8, float32"),
        ({"format": ["int8"]}, "format ['int8']: must be one of int8, float32"),
        ({"threads": 0}, "threads 0: must be a whole number from 1 to 256"),
        ({"threads": True}, "threads True: must be a whole number from 1 to 256"),
        ({"threads": 2.0}, "threads 2.0: must be a whole number from 1 to 256"),
        ({"threads": "2"}, "threads '2': must be a whole number from 1 to 256"),
        ({"images": -1}, "images -1: must be a whole number from 0 to 2^53"),
        ({"images": 2**53 + 1}, "images 9007199254740993: must be a whole number from 0 to 2^53"),
        ({"size": [1, 2**60]}, "size[1] 1152921504606846976: must be a whole number from -2^53 to 2^53"),
        ({"size": [1]}, "size [1]: must be a list of 2, each a whole number"),
        ({"latency_ms": math.nan}, "latency_ms nan: must be a finite number above 0"),
        ({"latency_ms": math.inf}, "latency_ms inf: must be a finite number above 0"),
        ({"latency_ms": 10**400}, "must be a finite number above 0"),
        ({"latency_ms": False}, "latency_ms False: must be a finite number above 0"),
        ({"cold": 1}, "cold 1: must be true or false"),
        ({"layers": "ab"}, "layers 'ab': must be a list, each an object of name, sqnr_db"),
        ({"layers": {"0": 1}}, "layers {'0': 1}: must be a list"),
        ({"layers": [{"name": "a"}, 7]}, "layers[1] 7: must be an object of name, sqnr_db"),
        ({"layers": [{"name": "a"}, {}]}, "layers[1]: 'name' is missing: must be a text"),
        ({"layers": [{"nam": "a"}]}, "layers[0]: unknown key 'nam': choose from name, sqnr_db"),
        ({"layers": [{"name": "a", "sqnr_db": "x"}]}, "layers[0].sqnr_db 'x': must be a finite number from -2^53"),
        ({"environment": {"a board": 1.5}}, "environment['a board'] 1.5: must be a text or a whole number"),
        ({"environment": {"x": ["a", 1]}}, "environment.x ['a', 1]: must be a text or a whole number"),
        ({"environment": []}, "environment []: must be an object, each value a text or a whole number"),
        ({"title": "a\nb"}, r"title 'a\nb': must be a text of one line, not blank"),
        ({"title": " "}, "title ' ': must be a text of one line, not blank"),
        ({"few": [1, 2, 3]}, "few [1, 2, 3]: must be a list of 2 at most, each a whole number"),
        ({"path": 3}, "path 3: must be a path"),
        ({"path": "a\0b"}, r"path 'a\x00b': must be a path"),
        ({"path": ""}, "path '': must be a path"),
        ({"file": None}, "file None: must be a text"),
        ({"filee": 3}, "unknown key 'filee': choose from file, format, threads"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_in_one_line(content: dict[str, object], message: str) -> None:
    with pytest.raises(ReportError) as caught:
        decoded(**content)
    told = str(caught.value)
    assert told.startswith("r.json: ")
    assert message in told
    assert told.isprintable()


@pytest.mark.parametrize("content", [None, [], "x", 3])
def test_a_document_is_an_object(content: object) -> None:
    with pytest.raises(ReportError, match=r"r.json: .*: must be an object of name, sqnr_db"):
        decode(Layer, content, "r.json", ReportError)


def test_what_is_missing_is_named_with_what_it_must_be() -> None:
    with pytest.raises(ReportError, match=r"r.json: 'file' is missing: must be a text"):
        decode(Report, {}, "r.json", ReportError)


def test_a_message_is_short_and_can_be_shown_whatever_stands_there() -> None:
    nested: object = "x"
    for _ in range(500):
        nested = [nested]
    text = "\x1b[2J\u202e\n" * 10**5
    for value in (text, {text: None}, [0] * 10**6, nested):
        for content in ({"threads": value}, {"layers": [value]}, {"environment": {text: value, "k": None}}, {text: 1}):
            with pytest.raises(ReportError) as caught:
                decoded(**content)
            assert len(str(caught.value)) < 1000
            assert str(caught.value).isprintable()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(st.text(), inside, max_size=3),
)


@given(content=st.fixed_dictionaries({}, optional=dict.fromkeys(WHOLE, JSON)) | JSON)
def test_whatever_stands_there_is_decoded_or_refused_in_one_line(content: object) -> None:
    told = ""
    try:
        assert isinstance(decode(Report, content, "r.json", ReportError), Report)
    except ReportError as error:
        told = str(error)
    assert told.isprintable()
    assert len(told) < 1000


def test_a_long_key_is_cut() -> None:
    with pytest.raises(ReportError, match=r"^.{,300}$"):
        decoded(environment={"k" * 10**5: None})


def test_keys_of_a_later_version_are_passed_over_where_that_is_asked_for_at_every_depth() -> None:
    content = {"file": "m", "later": 1, "layers": [{"name": "a", "later": 2}]}
    assert decode(Report, content, "r.json", ReportError, exact=False) == Report("m", layers=(Layer("a"),))


def test_fields_that_are_not_in_the_content_are_given_beside_it_and_are_no_keys_of_it() -> None:
    assert decode(Layer, {"sqnr_db": 1.0}, "r.json", ReportError, name="of the file") == Layer("of the file", 1.0)
    with pytest.raises(ReportError, match="unknown key 'name': choose from sqnr_db"):
        decode(Layer, {"name": "x"}, "r.json", ReportError, name="of the file")


def _halved(value: int) -> int:
    if value % 2:
        raise ValueError("is odd")
    return value // 2


@dataclass(frozen=True)
class Halves:
    halves: tuple[Annotated[int, _halved], ...]

    def __post_init__(self) -> None:
        if sum(self.halves) > 100:
            raise ImageError("halves: more than 100 in all")


@dataclass(frozen=True)
class Two:
    one: Halves


def test_a_function_gives_a_value_another_form_or_says_why_it_cannot() -> None:
    assert decode(Halves, {"halves": [2, 4]}, "h.toml", ReportError) == Halves((1, 2))
    with pytest.raises(ReportError, match=r"^h.toml: halves\[1\] 3: is odd$"):
        decode(Halves, {"halves": [2, 3]}, "h.toml", ReportError)


def test_what_a_class_itself_refuses_is_told_with_its_place() -> None:
    with pytest.raises(ReportError, match=r"^h.toml: halves: more than 100 in all$"):
        decode(Halves, {"halves": [500]}, "h.toml", ReportError)
    with pytest.raises(ReportError, match=r"^h.toml: one: halves: more than 100 in all$"):
        decode(Two, {"one": {"halves": [500]}}, "h.toml", ReportError)


@dataclass(frozen=True)
class Labelled:
    class_: int
    counts: dict[str, int]


@dataclass(frozen=True)
class Share:
    right: int
    images: int

    def to_json(self) -> dict[str, object]:
        return {**encode_fields(self), "percent": 100 * self.right / self.images}


@dataclass(frozen=True)
class Shares:
    shares: tuple[Share, ...]


def test_a_key_that_is_a_word_of_python_has_an_underscore_as_a_field() -> None:
    content = {"class": 3, "counts": {"CONV_2D": 2}}
    found = decode(Labelled, content, "r.json", ReportError)
    assert (found, encode(found)) == (Labelled(3, {"CONV_2D": 2}), content)
    with pytest.raises(ReportError, match=r"^r.json: class -?\d+\.5: must be a whole number"):
        decode(Labelled, content | {"class": 0.5}, "r.json", ReportError)


def test_a_value_that_tells_more_than_its_fields_says_so_itself() -> None:
    assert encode(Shares((Share(1, 4),))) == {"shares": [{"right": 1, "images": 4, "percent": 25}]}
