"""The names of a model's classes."""

from pathlib import Path

from lite_toolkit import shipped
from lite_toolkit.errors import ModelError
from lite_toolkit.text import odd_characters

MOST_BYTES = 16 * 2**20  # of a file
LONGEST = 1000  # characters of a label


def imagenet() -> tuple[str, ...]:
    """The 1000 classes of ILSVRC 2012; labels/README.md says where the names come from."""
    return read(shipped.folder("labels") / "imagenet.txt")


def read(path: Path) -> tuple[str, ...]:
    """The labels in a file: one a line, in order of index; empty lines at the end do not count.

    Raises:
        ModelError: the file cannot be read, or is no text of labels.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise ModelError(f"cannot read labels from {path}: {error.strerror}") from error
    return parse(content, str(path))


def parse(content: bytes, where: str) -> tuple[str, ...]:
    """The labels in the bytes of a file called `where`.

    Raises:
        ModelError: the text is not UTF-8, has no labels, or has one that is too long or holds a control character.
    """
    if len(content) > MOST_BYTES:
        raise ModelError(f"{where} is too large for a file of labels: at most {MOST_BYTES} bytes are allowed")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ModelError(f"{where} is not a UTF-8 text file of labels") from error
    # Only what ends a line for every reader: str.splitlines would also cut at U+2028, and shift all that follow.
    found = tuple(line.strip() for line in text.rstrip().split("\n"))
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
