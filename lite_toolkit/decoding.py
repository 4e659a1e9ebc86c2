"""What others wrote -> frozen dataclasses, by the types of their fields, or one line that says what is allowed."""

import functools
import re
import reprlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, Field, fields, is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NamedTuple, TypeVar, Union, get_args, get_origin, get_type_hints

from lite_toolkit.errors import LiteToolkitError

T = TypeVar("T")

UNTOLD = {"untold": True}  # the metadata of fields with a default that JSON has not
LATER = {"later": True}  # of fields that it has only where they are told: documents of before have none
LARGEST = 2**53  # a float holds every whole number up to here


class Limit(NamedTuple):
    """What a value must be beside its type: `Annotated[int, Limit(lambda n: n % 2 == 0, "that is even")]`.

    Attributes:
        holds: whether a value, decoded, is so.
        words: which follow "must be a whole number", "must be a text", "must be a list", ...
    """

    holds: Callable[[Any], object]
    words: str


def between(low: float, high: float = LARGEST) -> Limit:
    """A number of that range, the ends included."""
    ends = (str(end).replace(str(LARGEST), "2^53") for end in (low, high))
    return Limit(lambda number: low <= number <= high, f"from {' to '.join(ends)}")


Line = Annotated[str, Limit(lambda text: text.isprintable() and bool(text.strip()), "of one line, not blank")]
Sha256 = Annotated[str, Limit(lambda text: re.fullmatch("[0-9a-f]{64}", text), "of 64 digits of lower hexadecimal")]
Count = Annotated[int, between(0)]
Positive = Annotated[float, Limit(lambda number: number > 0, "above 0")]


def decode(
    cls: type[T], content: object, title: str, error: type[LiteToolkitError], /, *, exact: bool = True, **beside: Any
) -> T:
    """An instance of a dataclass out of what `json` or `tomllib` read; keys are names of fields.

    Types of fields: bool, int, float, str, Path, Any, None, Literal, tuples, Mapping, unions, dataclasses, and
    Annotated with `Limit` and with functions that give a value another form or refuse it by a ValueError. Numbers are
    finite and at most 2^53 in size, a bool is no number, and a whole number is a float where one is wanted. A
    field that has a default may be absent.

    Args:
        cls: the dataclass; what its `__post_init__` refuses by a ValueError or an error of the toolkit is told too.
        content: an object of JSON, a table of TOML.
        title: the file, with which the message begins.
        error: what is raised.
        exact: refuse keys that no field has; otherwise they are passed over, as a later version may write more.
        beside: values of fields that are not in the content.

    Raises:
        error: the content does not fit: one line with the title, the place such as `files[3].sha256`, what stands
            there, and what is allowed.
    """
    try:
        made: T = _object(cls, exact, "", beside).make(content)
    except _MisfitError as misfit:
        raise error(f"{title}: {misfit}") from misfit
    return made


def encode(value: Any) -> Any:
    """What `json` writes for a value that `decode` can make: fields in their order, or its own `to_json`."""
    if hasattr(value, "to_json"):
        return value.to_json()
    if is_dataclass(value):
        return encode_fields(value)
    if isinstance(value, Mapping):
        return {key: encode(one) for key, one in value.items()}
    if isinstance(value, (tuple, list)):
        return [encode(one) for one in value]
    return str(value) if isinstance(value, Path) else value


def encode_fields(value: Any) -> dict[str, Any]:
    """The fields of a dataclass by their keys, for a `to_json` that tells more than these."""
    told = [(field, getattr(value, field.name)) for field in _told(value)]
    return {_key(field.name): encode(one) for field, one in told if field.metadata != LATER or one != field.default}


def _told(value: Any) -> list[Field[Any]]:
    """The fields of a dataclass that JSON has too."""
    return [field for field in fields(value) if field.metadata != UNTOLD]


def _key(name: str) -> str:
    """The key of a field; one that is a word of Python's has an underscore behind it as a field: `class_`."""
    return name.rstrip("_")


class _MisfitError(Exception):
    """What does not fit, and where: containers put their part of the place before it while it passes through them."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what, self.place = what, ""

    def __str__(self) -> str:
        return f"{self.place}{self.what}".lstrip(".: ")


class _Kind(NamedTuple):
    """What a type allows, in words that follow "must be", and the function that decodes it or raises `_MisfitError`."""

    words: str
    make: Callable[[Any], Any]


class _Repr(reprlib.Repr):
    def repr_int(self, x: int, level: int) -> str:
        # Python prints no number of more than 4,300 digits, which TOML may write in hexadecimal.
        return super().repr_int(x, level) if x.bit_length() < 10_000 else f"a number of {x.bit_length():,} bits"


_repr = _Repr()
_repr.maxstring = _repr.maxother = _LONGEST = 100  # long enough for a name or a path


def _misfit(value: object, words: str) -> _MisfitError:
    return _MisfitError(f" {_repr.repr(value)}: must be {words}")


def _part(kind: _Kind, value: object, key: str | int) -> Any:
    """A value within another, under a key or at an index."""
    try:
        return kind.make(value)
    except _MisfitError as misfit:
        named = isinstance(key, str) and key.isidentifier() and len(key) < _LONGEST
        misfit.place = f".{key}{misfit.place}" if named else f"[{_repr.repr(key)}]{misfit.place}"
        raise


@functools.cache
def _kind(hint: Any, exact: bool, limits: str = "") -> _Kind:
    """The kind of a type; `limits` are the words of what else its values must be."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _annotated(arguments[0], exact, hint.__metadata__)
    if origin is Literal:
        return _choice(arguments)
    kinds = [_kind(argument, exact) for argument in arguments if argument is not ...]
    if origin in (Union, UnionType):
        return _union(kinds)
    if origin is tuple:
        return _tuple(kinds, ... in arguments, limits)
    if origin in (Mapping, dict):
        return _mapping(kinds[0], kinds[1], limits)
    if hint is NoneType:
        return _NULL
    if hint in _SCALARS:
        return _scalar(hint, limits)
    return _object(hint, exact, limits, {})


def _annotated(hint: Any, exact: bool, extras: Sequence[Any]) -> _Kind:
    limits = [one for one in extras if isinstance(one, Limit)]
    forms = [one for one in extras if not isinstance(one, Limit)]
    kind = _kind(hint, exact, "".join(f" {limit.words}" for limit in limits))

    def make(value: object) -> Any:
        made = kind.make(value)
        if not all(limit.holds(made) for limit in limits):
            raise _misfit(value, kind.words)
        try:
            return functools.reduce(lambda one, form: form(one), forms, made)
        except (ValueError, LiteToolkitError) as error:
            raise _MisfitError(f" {_repr.repr(value)}: {error}") from error

    return _Kind(kind.words, make)


def _choice(choices: tuple[Any, ...]) -> _Kind:
    words = f"{'one of ' if len(choices) > 1 else ''}{', '.join(map(str, choices))}"

    def make(value: object) -> Any:
        if any(type(value) is type(choice) and value == choice for choice in choices):
            return value
        raise _misfit(value, words)

    return _Kind(words, make)


def _union(kinds: list[_Kind]) -> _Kind:
    words = " or ".join(kind.words for kind in kinds)
    others = [kind for kind in kinds if kind != _NULL]

    def make(value: object) -> Any:
        if value is None and others != kinds:
            return None
        for kind in others:
            try:
                return kind.make(value)
            except _MisfitError:
                if len(others) == 1:  # it knows the place within
                    raise
        raise _misfit(value, words)

    return _Kind(words, make)


def _tuple(kinds: list[_Kind], any_length: bool, limits: str) -> _Kind:
    each = f", each {kinds[0].words}" if len(set(kinds)) == 1 else ""
    words = f"a list{'' if any_length else f' of {len(kinds)}'}{limits}{each}"

    def make(value: object) -> Any:
        if not isinstance(value, (list, tuple)) or not (any_length or len(value) == len(kinds)):
            raise _misfit(value, words)
        matched = zip(kinds * len(value) if any_length else kinds, value, strict=True)
        return tuple(_part(kind, one, index) for index, (kind, one) in enumerate(matched))

    return _Kind(words, make)


def _mapping(key_kind: _Kind, kind: _Kind, limits: str) -> _Kind:
    words = f"an object{limits}, each value {kind.words}"

    def make(value: object) -> Any:
        if not isinstance(value, dict):
            raise _misfit(value, words)
        return {_part(key_kind, key, key): _part(kind, one, key) for key, one in value.items()}

    return _Kind(words, make)


def _object(cls: type[Any], exact: bool, limits: str, beside: Mapping[str, Any]) -> _Kind:
    hints = get_type_hints(cls, localns=_NAMES, include_extras=True)
    asked = {_key(field.name): field for field in _told(cls) if field.name not in beside}
    kinds = {key: _kind(hints[field.name], exact) for key, field in asked.items()}
    needed = [key for key, field in asked.items() if field.default is MISSING and field.default_factory is MISSING]
    words = f"an object of {', '.join(kinds)}{limits}"

    def make(value: object) -> Any:
        if not isinstance(value, dict):
            raise _misfit(value, words)
        for key in value if exact else ():
            if key not in kinds:
                raise _MisfitError(f": unknown key {_repr.repr(key)}: choose from {', '.join(kinds)}")
        for key in needed:
            if key not in value:
                raise _MisfitError(f": {key!r} is missing: must be {kinds[key].words}")
        found = {asked[key].name: _part(kind, value[key], key) for key, kind in kinds.items() if key in value}
        try:
            return cls(**found, **beside)
        except (ValueError, LiteToolkitError) as error:
            raise _MisfitError(f": {error}") from error

    return _Kind(words, make)


def _scalar(hint: type[Any], limits: str) -> _Kind:
    name, accepts = _SCALARS[hint]
    words = name + (limits or (f" {between(-LARGEST).words}" if hint in (int, float) else ""))

    def make(value: object) -> Any:
        if not accepts(value):
            raise _misfit(value, words)
        return hint(value) if hint in (float, Path) else value

    return _Kind(words, make)


_NULL = _Kind("null", lambda value: value)
_SCALARS: dict[Any, tuple[str, Callable[[Any], bool]]] = {
    Any: ("anything", lambda _: True),
    bool: ("true or false", lambda value: type(value) is bool),
    int: ("a whole number", lambda value: type(value) is int and abs(value) <= LARGEST),
    float: ("a finite number", lambda value: type(value) in (int, float) and abs(value) <= LARGEST),
    str: ("a text", lambda value: type(value) is str),
    Path: ("a path", lambda value: type(value) is str and value.isprintable() and bool(value.strip())),
}
# What modules that run on Python 3.7 import for the eyes of mypy alone.
_NAMES = {"Any": Any, "Literal": Literal, "Mapping": Mapping}
