"""The names of a model's classes, in the files that people have of them."""

import ast
import csv
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from lite_toolkit import shipped
from lite_toolkit.errors import ModelError
from lite_toolkit.text import odd_characters

MOST_BYTES = 16 * 2**20  # of a file
LONGEST = 1000  # characters of a label

_INDEX = re.compile(r"[0-9]{1,7}")
_NUMBERED = re.compile(r"(?P<index>[0-9]{1,7})(?:[ \t]*[:;,=|\t][ \t]*|[.)][ \t]+|[ \t]+)(?P<name>.*\S)")
_NUMBERED_AT_THE_END = re.compile(r"(?P<name>.*\S)[ \t]*[:;,=|\t][ \t]*(?P<index>[0-9]{1,7})")
# These are taken only where all numbers are indices then: "0-cat", "[0] cat", "cat 0"; never "0-9", an age.
_LOOSELY_NUMBERED = re.compile(r"\[?(?P<index>[0-9]{1,7})(?:\][ \t]*|[ \t]*[-_][ \t]*)(?P<name>[^0-9\s].*)")
_LOOSELY_AT_THE_END = re.compile(r"(?P<name>.*[^0-9\s])[ \t]+(?P<index>[0-9]{1,7})")
_INDEX_HEADS = {"index", "idx", "id", "classid", "labelid", "class", "label", "number"}
_NAME_HEADS = {"displayname", "name", "classname", "labelname", "signname", "label", "class", "category", "breed"}
_QUOTED = r""""(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'"""
_ITEM = re.compile(rf"""\b(?:item|entries)\s*:?\s*\{{((?:{_QUOTED}|[^{{}}"'])*)\}}""", re.DOTALL)
_FIELD = re.compile(rf"(\w+)\s*:\s*({_QUOTED}|-?[0-9]+)", re.DOTALL)

Numbered = list[tuple[str, str]]  # index and name of each class, as they stand


def imagenet() -> tuple[str, ...]:
    """The 1000 classes of ILSVRC 2012; labels/README.md says where the names come from."""
    return read(shipped.folder("labels") / "imagenet.txt")


def read(path: Path) -> tuple[str, ...]:
    """The labels in a file, in order of index.

    It is JSON (a list of names; index -> name or [wnid, name]; name -> index; a document that holds one of these, such
    as Hugging Face's `config.json`), a label map in protobuf's text format, a table with a heading, lines that all
    begin or end with their index, or one label a line.

    Lines that all begin with a number are numbered where the numbers are 0 to n-1, or 1 to n, each once, and most of
    what follows them differs; where not, they are refused, since the numbers may be part of the names.

    Raises:
        ModelError: the file cannot be read, or is no text of labels, or can be read in two ways.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise ModelError(f"cannot read labels from {path}: {error.strerror}") from error
    text = _decoded(content, str(path))
    for reader in _READERS:
        if (found := reader(text, str(path))) is not None:
            return _in_order(found, str(path))
    return parse(content, str(path))


def parse(content: bytes, where: str) -> tuple[str, ...]:
    """The labels in the bytes of a file called `where`: one a line, in order of index; empty lines at the end do not
    count.

    Raises:
        ModelError: the text is not UTF-8, has no labels, or has one that is too long or holds a control character.
    """
    found = tuple(map(str.strip, _lines(_decoded(content, where))))
    if found == ("",):
        raise ModelError(f"{where} holds no labels: one line for each class is needed")
    for number, label in enumerate(found, 1):
        require_plain(label, f"{where}, line {number}")
    return found


def require_plain(label: str, where: str) -> None:
    """Refuse a label that is too long, or holds a character that cannot be seen, such as the end of a line.

    Raises:
        ModelError: it is one; the message begins with `where`.
    """
    if len(label) > LONGEST:
        raise ModelError(f"{where}: a label of {len(label)} characters: at most {LONGEST} are allowed")
    if odd := odd_characters(label):
        raise ModelError(f"{where}: the label holds the control character U+{ord(odd[0]):04X}: remove it")


def _decoded(content: bytes, where: str) -> str:
    if len(content) > MOST_BYTES:
        raise ModelError(f"{where} is too large for a file of labels: at most {MOST_BYTES} bytes are allowed")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ModelError(f"{where} is not a UTF-8 text file of labels") from error


def _lines(text: str) -> list[str]:
    # Only what ends a line for every reader: str.splitlines would also cut at U+2028, and shift all that follow.
    return text.rstrip().split("\n")


def _in_order(found: Numbered, where: str) -> tuple[str, ...]:
    """The names by their indices, which are 0 to n-1, or 1 to n: a model of n classes can mean no other."""
    names = {int(index): name.strip() for index, name in found if _INDEX.fullmatch(index)}
    first = min(names, default=0)
    wanted = range(min(first, 1), min(first, 1) + len(found))
    missing = [index for index in wanted if index not in names]
    if missing or not found:
        raise ModelError(
            f"{where}: {len(found)} labels have no index {missing[0]}: every index from {wanted[0]} to {wanted[-1]} "
            "must stand there once"
            if found
            else f"{where} holds no labels"
        )
    for index in wanted:
        require_plain(names[index], f"{where}, class {index}")
    return tuple(names[index] for index in wanted)


def _json(text: str, where: str) -> Numbered | None:
    """What JSON tells, or a dict as Python prints it, {0: 'tench', ...}."""
    document = where.lower().endswith(".json")
    if not document and not text.lstrip().startswith(("{", "[")):
        return None
    try:
        value = json.loads(text, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        if document:
            raise ModelError(f"{where} is no JSON file: {' '.join(str(error).split())}") from error
        value = _literal(text)
    if value is None:
        return None
    try:
        found = _listed(value)
    except ValueError as error:
        raise ModelError(f"{where}: {error}") from error
    if found is None:
        raise ModelError(
            f"{where} holds no labels: must be a list of names, index -> name, name -> index, or a document with "
            "id2label (one label a line is a text file)"
        )
    return found


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key stands there twice")
    return found


def _literal(text: str) -> Any:
    try:
        value = ast.literal_eval(text.strip()) if len(text) < 2**20 else None
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return None
    return value if isinstance(value, dict | list) else None


def _listed(value: Any) -> Numbered | None:
    if isinstance(value, list):
        return _of_list(value)
    if not isinstance(value, dict):
        return None
    if key := next((key for key in _DOCUMENTED if isinstance(value.get(key), dict | list)), None):
        return _listed(value[key])
    keys, values = [str(key) for key in value], [_name(one) for one in value.values()]
    indices = [str(one) for one in value.values() if isinstance(one, int) and not isinstance(one, bool)]
    if indices and len(indices) == len(keys):
        return list(zip(indices, keys, strict=True))  # Keras' class_indices, whose names may be numbers too
    names = [one for one in values if one is not None]
    if not keys or len(names) < len(keys):
        return None
    if set(keys) == set(names) and any(names[keys.index(name)] != key for key, name in zip(keys, names, strict=True)):
        raise ValueError("may be index -> name or name -> index: write indices as numbers, or pass a list of names")
    if not all(map(_INDEX.fullmatch, keys)) and all(map(_INDEX.fullmatch, names)):
        return list(zip(names, keys, strict=True))
    return list(zip(keys, names, strict=True)) if all(map(_INDEX.fullmatch, keys)) else None


_DOCUMENTED = ("id2label", "label2id", "labels", "names", "classes", "class_names", "categories", "class_indices")


def _of_list(value: Sequence[Any]) -> Numbered | None:
    names = [_name(one) for one in value]
    if value and None not in names and all(isinstance(one, dict) and "id" in one for one in value):
        return [(str(one["id"]), str(name)) for one, name in zip(value, names, strict=True)]
    return None if None in names else [(str(index), str(name)) for index, name in enumerate(names)]


def _name(value: Any) -> str | None:
    """A name, or that of [wnid, name] or of an object."""
    if isinstance(value, dict):
        value = value.get("name", value.get("label"))
    pair = isinstance(value, list | tuple) and len(value) == 2
    name = value[1] if pair else value
    return name if isinstance(name, str) else None


def _label_map(text: str, where: str) -> Numbered | None:
    """A label map of TensorFlow's object detection, item { id: 1 name: 'tench' }."""
    plain = re.sub(r"(?m)^\s*#.*$", "", text)
    if not re.match(r"\s*(item|entries)\s*:?\s*\{", plain):
        return None
    items = [{key: _unquoted(cell) for key, cell in _FIELD.findall(item)} for item in _ITEM.findall(plain)]
    key = next((key for key in ("display_name", "name") if all(key in item for item in items)), None)
    if _ITEM.sub("", plain).strip(" \t\r\n,;") or key is None or not all("id" in item for item in items):
        raise ModelError(f"{where} is no label map: must be items of an id and a name, item {{ id: 1 name: 'tench' }}")
    return [(item["id"], item[key]) for item in items]


def _unquoted(cell: str) -> str:
    if cell[0] not in "\"'":
        return cell
    # Bytes may stand as \303\251: so protobuf writes what is not ASCII.
    escaped = re.compile(rb"\\([0-3][0-7]{2}|.)", re.DOTALL)
    return escaped.sub(lambda m: bytes([int(m[1], 8)]) if len(m[1]) == 3 else m[1], cell[1:-1].encode()).decode(
        errors="replace"
    )


def _table(text: str, _: str) -> Numbered | None:
    """A table whose heading names a column of indices and one of names."""
    lines = _lines(text)
    separator = next((mark for mark in "\t;," if mark in lines[0]), None)
    if separator is None:
        return None
    try:
        heading, *rows = [row for row in csv.reader(lines, delimiter=separator) if any(cell.strip() for cell in row)]
    except (csv.Error, ValueError):
        return None
    heads = [re.sub(r"[^a-z0-9]", "", head.lower()) for head in heading]
    for index in (place for place, head in enumerate(heads) if head in _INDEX_HEADS):
        for name in (place for place, head in enumerate(heads) if head in _NAME_HEADS and place != index):
            cells = [(row[index].strip(), row[name]) for row in rows if len(row) == len(heads)]
            if rows and len(cells) == len(rows) and all(_INDEX.fullmatch(cell) for cell, _ in cells):
                return cells
    return None


def _numbered(text: str, where: str) -> Numbered | None:
    """Lines that all begin with a number, as Coral and Teachable Machine write them, or end with one."""
    lines = [line.strip() for line in _lines(text) if line.strip()]
    for pattern in (_LOOSELY_NUMBERED, _LOOSELY_AT_THE_END, _NUMBERED, _NUMBERED_AT_THE_END):
        matches = [match for match in map(pattern.fullmatch, lines) if match]
        if not matches or len(matches) < len(lines):
            continue
        found = [(match["index"], match["name"]) for match in matches]
        first, last = min(numbers := {int(index) for index, _ in found}), max(numbers)
        whole = len(numbers) == len(found) == last - first + 1 and first in (0, 1)
        if whole and (len(found) == 1 or 2 * len({name for _, name in found}) > len(found)):
            return list(zip((index for index, _ in found), _bare([name for _, name in found]), strict=True))
        if pattern in (_LOOSELY_NUMBERED, _LOOSELY_AT_THE_END):
            continue
        why = "few names would differ" if whole else "they are not 0 to n-1, each once"
        raise ModelError(
            f"{where}: every line has a number: either an index, {found[0][0]} of {found[0][1][:60]!r}, but {why}; or "
            f"part of the name {lines[0][:60]!r}: number the lines from 0, or pass the names as a JSON list"
        )
    return None


def _bare(names: Sequence[str]) -> list[str]:
    """Names without the quotation marks that all of them stand in."""
    quoted = all(len(name) > 1 and name[0] == name[-1] and name[0] in "\"'" for name in names)
    return [name[1:-1] if quoted else name for name in names]


def _yaml(_: str, where: str) -> None:
    if where.lower().endswith((".yaml", ".yml")):
        raise ModelError(f"{where} is YAML, which is not read: pass the names one a line, or as a JSON list")


_READERS: tuple[Callable[[str, str], Numbered | None], ...] = (_yaml, _json, _label_map, _table, _numbered)
