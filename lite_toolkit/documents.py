"""JSON documents: every one names its schema, the schema's version and the toolkit's; read without trust."""

import hashlib
import io
import json
import reprlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from lite_toolkit import outputs
from lite_toolkit.decoding import decode, encode, encode_fields
from lite_toolkit.errors import ReportError
from lite_toolkit.text import LONGEST_TEXT, cleaned
from lite_toolkit.version import __version__

SCHEMA_VERSION = 1

MOST_BYTES = 64 * 2**20  # of a file: ten measurements of the longest that is allowed, a day

R = TypeVar("R", bound="Report")


def document(kind: str, content: Mapping[str, Any]) -> dict[str, Any]:
    """`content` under a header; `kind` is "variants", "manifest", "inspect", ..."""
    header = {"schema": f"lite-toolkit/{kind}", "schema_version": SCHEMA_VERSION, "toolkit_version": __version__}
    return header | dict(content)


def sha256(*parts: bytes | Path) -> str:
    """The hexadecimal digest of bytes and of files' bytes, one after the other; raises OSError."""
    digest = hashlib.sha256()
    for part in parts:
        with part.open("rb") if isinstance(part, Path) else io.BytesIO(part) as stream:
            while chunk := stream.read(1 << 20):
                digest.update(chunk)
    return digest.hexdigest()


@dataclass(frozen=True)
class Report:
    """What a document of one kind tells; its fields are the document's, apart from the header."""

    KIND: ClassVar[str]

    def to_json(self) -> dict[str, Any]:
        """The document."""
        return document(self.KIND, self.content())

    def content(self) -> dict[str, Any]:
        """What stands below the header."""
        return encode_fields(self)

    @classmethod
    def from_json(cls: type[R], content: object, file: str) -> R:
        """What a document tells; the errors name the file.

        Raises:
            ReportError: it is damaged.
        """
        return decode(cls, content, f"{file} is damaged", ReportError, exact=False)

    def save(self, path: Path, force: bool = False) -> None:
        """Write the document, whole or not at all; a file that exists is an OutputError, unless `force`."""
        outputs.write_json(path, self.to_json(), force)


@dataclass(frozen=True)
class OfDevice(Report):
    """What was found on one device, by its name."""

    device: str


@dataclass(frozen=True)
class Failure:
    """A device, and why the work failed there."""

    device: str
    message: str


@dataclass(frozen=True)
class Several(Report):
    """The reports of several devices."""

    devices: Sequence[OfDevice]
    failed: tuple[Failure, ...]

    def __post_init__(self) -> None:
        names = [one.device for one in self.devices]
        if len(set(names)) < len(names):
            raise ValueError(f"devices {', '.join(names)}: must have each device once")

    def content(self) -> dict[str, Any]:
        """What stands below the only header."""
        return {"devices": [one.content() for one in self.devices], "failed": encode(self.failed)}


@dataclass(frozen=True)
class Document:
    """A file: the schema's kind, such as "benchmark-devices", the sha256 of the bytes read, and the whole content.

    Its texts are fit to be shown.
    """

    kind: str
    sha256: str
    content: Mapping[str, Any]


def read_document(path: Path, kinds: Collection[str]) -> Document:
    """Read a document, once: it may be a pipe.

    Raises:
        ReportError: the file is no document of one of `kinds`, of another schema version, too large, or no JSON.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise ReportError(f"{path} is too large for a report: at most {MOST_BYTES} bytes are allowed")
    try:
        found = cleaned(json.loads(content.decode("utf-8")), LONGEST_TEXT)
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
    return Document(kind, sha256(content), found)
