"""Files of labels: what they may hold, and the names of ImageNet's classes."""

from pathlib import Path

import pytest

from lite_toolkit import labels
from lite_toolkit.errors import ModelError


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"cat\ndog\n", ("cat", "dog")),
        (b"cat\r\n dog \r\n\r\n", ("cat", "dog")),
        (b"\xef\xbb\xbfcat\n\ndog", ("cat", "", "dog")),
        ("Möwe\nнерпа\n❤\n".encode(), ("Möwe", "нерпа", "❤")),
        ("می‌خواهم\nfarmer 👩‍🌾\n".encode(), ("می‌خواهم", "farmer 👩‍🌾")),  # joined by characters without a shape
        (b"<script>alert(1)</script>\n&amp;\n", ("<script>alert(1)</script>", "&amp;")),
        (b"x" * 1000, ("x" * 1000,)),
    ],
)
def test_one_label_a_line(content: bytes, found: tuple[str, ...]) -> None:
    assert labels.parse(content, "it") == found


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "it holds no labels: one line for each class is needed"),
        (b"\n\n", "it holds no labels: one line for each class is needed"),
        (b"\xff\xfe", "it is not a UTF-8 text file of labels"),
        (b"cat\n" + b"x" * 10_000_000, "it, line 2: a label of 10000000 characters: at most 1000 are allowed"),
        (b"x\n" * 9_000_000, "it is too large for a file of labels: at most 16777216 bytes are allowed"),
        (b"cat\n\x1b[31mdog", r"it, line 2: the label holds the control character U\+001B: remove it"),
        (b"cat\0dog", r"U\+0000"),
        (b"cat\x0bdog", r"U\+000B"),  # which str.splitlines would cut at
        ("cat\u2028dog".encode(), r"U\+2028"),
        ("cat\u202egod".encode(), r"U\+202E"),
        ("cat\u200fgod".encode(), r"U\+200F"),
        ("cat\u2066god".encode(), r"U\+2066"),
    ],
)
def test_no_labels(content: bytes, message: str) -> None:
    with pytest.raises(ModelError, match=message) as caught:
        labels.parse(content, "it")
    assert str(caught.value).isprintable()


def test_the_names_of_imagenet() -> None:
    names = labels.imagenet()
    assert len(names) == 1000
    # As every list of these classes has them.
    assert (names[0], names[388], names[999]) == ("tench", "giant panda", "toilet tissue")


def test_the_names_are_those_of_others(shared: Path) -> None:
    rows = (shared / "imagenet/classes.tsv").read_text().splitlines()[1:]
    assert labels.imagenet() == tuple(row.split("\t")[2] for row in rows)
