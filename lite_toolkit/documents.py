"""JSON documents: every one names its schema, the schema's version and the toolkit's; read without trust."""

import hashlib
import json
import reprlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lite_toolkit.errors import ReportError
from lite_toolkit.text import visible
from lite_toolkit.version import __version__

SCHEMA_VERSION = 1

LONGEST_TEXT = 300  # characters; what the toolkit writes is shorter
MOST_BYTES = 64 * 2**20  # of a file: two million runs

_LARGEST = 2**53  # a float holds every whole number up to here


def document(kind: str, content: Mapping[str, Any]) -> dict[str, Any]:
    """`content` under a header; `kind` is "variants", "manifest", "inspect", ..."""
    header = {"schema": f"lite-toolkit/{kind}", "schema_version": SCHEMA_VERSION, "toolkit_version": __version__}
    return header | dict(content)


@dataclass(frozen=True)
class Part:
    """A part of a document, which knows its place there; what is asked for and is not there is a ReportError."""

    file: str
    place: str
    content: Any

    def __getitem__(self, key: str) -> "Part":
        self.require(isinstance(self.content, dict) and key in self.content, f"must have {key!r}")
        return Part(self.file, f"{self.place}.{key}".lstrip("."), self.content[key])

    def get(self, key: str) -> "Part":
        """What stands under a key that not every document has; null where this one has not."""
        return self[key] if key in self.names else Part(self.file, f"{self.place}.{key}".lstrip("."), None)

    def __iter__(self) -> Iterator["Part"]:
        self.require(isinstance(self.content, list), "must be a list")
        for index, value in enumerate(self.content):
            yield Part(self.file, f"{self.place}[{index}]", value)

    def require(self, condition: object, what: str) -> None:
        """Complain that this part `what`, unless the condition holds."""
        if not condition:
            raise ReportError(f"{self.file} is damaged: {shown(self.place) or 'the document'} {what}")

    @property
    def text(self) -> str:
        """A text, made fit to be shown: see `shown`."""
        self.require(isinstance(self.content, str), "must be a text")
        return shown(self.content)

    @property
    def fact(self) -> str:
        """A text, a whole number or a list of texts, made fit to be shown."""
        if isinstance(self.content, list):
            return shown(", ".join(one.text for one in self))
        return str(self.count) if isinstance(self.content, int) else self.text

    @property
    def number(self) -> float:
        """A finite number."""
        self.require(type(self.content) in (int, float) and abs(self.content) <= _LARGEST, "must be a finite number")
        return float(self.content)

    @property
    def positive(self) -> float:
        """A number above 0."""
        self.require(self.number > 0, "must be above 0")
        return self.number

    @property
    def count(self) -> int:
        """A whole number from 0."""
        self.require(type(self.content) is int and 0 <= self.content <= _LARGEST, "must be a whole number from 0")
        return int(self.content)

    @property
    def names(self) -> list[str]:
        """The names that an object has."""
        self.require(isinstance(self.content, dict), "must be an object")
        return list(self.content)

    @property
    def missing(self) -> bool:
        """Whether it is null."""
        return self.content is None


@dataclass(frozen=True)
class Document:
    """A document: the schema's kind, such as "benchmark-devices", the sha256 of the bytes read, and the whole of it."""

    kind: str
    sha256: str
    whole: Part


def shown(text: str) -> str:
    """A text on one line, cut at `LONGEST_TEXT`, with U+FFFD for what a terminal or a page would obey."""
    return visible(text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]}…")


def read_document(path: Path, kinds: Collection[str]) -> Document:
    """Read a document, once: it may be a pipe.

    Raises:
        ReportError: the file is no document of one of `kinds`, of another schema version, too large, or damaged.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise ReportError(f"{path} is too large for a report: at most {MOST_BYTES} bytes are allowed")
    try:
        found = json.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise ReportError(f"{path} is no JSON file: {' '.join(str(error).split())}") from error
    schema = found.get("schema") if isinstance(found, dict) else None
    kind = schema.removeprefix("lite-toolkit/") if isinstance(schema, str) else ""
    if kind not in kinds:
        raise ReportError(
            f"{path} has schema {reprlib.repr(schema)}: must be lite-toolkit/ and one of {', '.join(kinds)}"
        )
    version = found.get("schema_version")
    if version != SCHEMA_VERSION:
        raise ReportError(f"{path} has schema version {reprlib.repr(version)}: must be {SCHEMA_VERSION}")
    return Document(kind, hashlib.sha256(content).hexdigest(), Part(str(path), "", found))
