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


PETS = ("cat", "dog", "Möwe")
MAP = 'item {\n  id: %d\n  name: "%s"\n}\n'


def read(folder: Path, content: str, name: str = "labels.txt") -> tuple[str, ...]:
    path = folder / name
    path.write_bytes(content.encode())
    return labels.read(path)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("coral.txt", "2  Möwe\n0  cat\n1  dog\n"),
        ("teachable_machine.txt", "\ufeff0 cat\r\n1 dog\r\n2 Möwe\r\n"),
        ("from_one.txt", "1: cat\n2: dog\n3: Möwe\n"),
        ("listed.txt", "0. cat\n1. dog\n2. Möwe\n"),
        ("dashes.txt", "0 - cat\n1 - dog\n2 - Möwe\n"),
        ("brackets.txt", "[0] cat\n[1] dog\n[2] Möwe\n"),
        ("number_last.txt", "cat 0\ndog 1\nMöwe 2\n"),
        ("quoted.csv", '0,"cat"\n1,"dog"\n2,"Möwe"\n'),
        ("objects.json", '{"0": {"name": "cat"}, "1": {"name": "dog"}, "2": {"name": "Möwe"}}'),
        ("tab.txt", "0\tcat\n\n1\tdog\n2\tMöwe\n"),
        ("at_the_end.csv", "cat,0\nMöwe,2\ndog,1\n"),
        ("signs.csv", "ClassId,SignName\n0,cat\n1,dog\n2,Möwe\n"),
        ("named_first.csv", "name;class_id\ncat;0\ndog;1\nMöwe;2\n"),
        ("with_wnids.tsv", "index\twnid\tname\n1\tn2\tdog\n0\tn1\tcat\n2\tn3\tMöwe\n"),
        ("class_indices.json", '{"dog": 1, "cat": 0, "Möwe": 2}'),
        ("imagenet_class_index.json", '{"0": ["n1", "cat"], "1": ["n2", "dog"], "2": ["n3", "Möwe"]}'),
        ("config.json", '{"model_type": "efficientnet", "id2label": {"0": "cat", "1": "dog", "2": "Möwe"}}'),
        ("id2label.json", '{"0": "cat", "1": "dog", "2": "Möwe"}'),
        ("label2id.json", '{"label2id": {"cat": "0", "dog": "1", "Möwe": "2"}}'),
        ("list.json", '["cat", "dog", "M\\u00f6we"]'),
        ("metadata.json", '{"tfjsVersion": "1.3.1", "labels": ["cat", "dog", "Möwe"]}'),
        (
            "coco.json",
            '{"categories": [{"id": 2, "name": "dog"}, {"id": 1, "name": "cat"}, {"id": 3, "name": "Möwe"}]}',
        ),
        ("printed.txt", "{0: 'cat',\n 1: 'dog',\n 2: \"Möwe\"}"),
        ("map.pbtxt", "# mine\n" + "".join(MAP % one for one in [(1, "cat"), (2, "dog"), (3, "M\\303\\266we")])),
        ("shown.pbtxt", "".join(f"item {{ name: '/m/{i}' id: {i} display_name: '{n}' }}" for i, n in enumerate(PETS))),
    ],
)
def test_files_in_use(tmp_path: Path, name: str, content: str) -> None:
    assert read(tmp_path, content, name) == PETS


@pytest.mark.parametrize(
    "names",
    [
        ("0", "1", "10", "2"),  # of folders
        ("0.5 mm", "1 mm", "many"),
        ("7 up", "cola"),
        ("0-9", "10-19", "20-29"),
        ("0-1", "1-2", "2-3"),
        ("Type 1", "Type 2"),
        ("A 1", "B 7"),
        ("tench, Tinca tinca", "goldfish, Carassius auratus"),
        ("[UNK]", "cat"),
        ("{x}", "cat"),
    ],
)
def test_numbers_and_signs_that_are_part_of_names(tmp_path: Path, names: tuple[str, ...]) -> None:
    assert read(tmp_path, "\n".join(names)) == names


def test_names_that_are_numbers_keep_their_indices(tmp_path: Path) -> None:
    """Keras' class_indices of folders 0 to 10."""
    assert read(tmp_path, '{"0": 0, "1": 1, "10": 2, "2": 3}', "class_indices.json") == ("0", "1", "10", "2")


@pytest.mark.parametrize(
    ("content", "both"),
    [
        ("1 cent\n2 cent\n5 cent\n", ["an index, 1 of 'cent'", "not 0 to n-1", "part of the name '1 cent'"]),
        ("1 euro\n2 euro\n", ["an index, 1 of 'euro'", "few names would differ", "part of the name '1 euro'"]),
        ("0  cat\n2  dog\n", ["an index, 0 of 'cat'", "part of the name '0  cat'", "as a JSON list"]),
        ("0 cat\n0 dog\n", ["an index, 0 of 'cat'", "part of the name '0 cat'"]),
    ],
)
def test_numbers_that_may_be_indices_or_part_of_names(tmp_path: Path, content: str, both: list[str]) -> None:
    with pytest.raises(ModelError) as refusal:
        read(tmp_path, content)
    assert all(part in str(refusal.value) for part in both)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "a.json",
            '{"0": "cat", "2": "dog"}',
            "2 labels have no index 1: every index from 0 to 1 must stand there once",
        ),
        ("a.json", '{"cat": 0, "dog": 0}', "2 labels have no index 1"),
        ("a.json", '{"0": "cat", "0": "dog"}', "is no JSON file: a key stands there twice"),
        ("a.json", '{"cat', "is no JSON file"),
        ("a.json", '{"0": "1", "1": "2", "2": "0"}', "may be index -> name or name -> index"),
        ("a.json", '{"model_type": "efficientnet"}', "must be a list of names, index -> name"),
        ("a.json", "[" * 100_000, "is no JSON file"),
        ("a.json", "[]", "holds no labels"),
        ("a.json", '["cat", "do\\u001bg"]', r"class 1: the label holds the control character U\+001B"),
        ("a.json", '{"cat": -1, "dog": 0}', "have no index"),
        ("a.pbtxt", 'item { id: 0 name: "cat" } item { name: "dog" }', "must be items of an id and a name"),
        ("a.pbtxt", 'item { id: 0 name: "cat', "must be items of an id and a name"),
        ("data.yaml", "names:\n  0: cat\n", "is YAML, which is not read: pass the names one a line"),
    ],
)
def test_no_file_of_labels(tmp_path: Path, name: str, content: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        read(tmp_path, content, name)


def test_the_names_of_imagenet() -> None:
    names = labels.imagenet()
    assert len(names) == 1000
    # As every list of these classes has them.
    assert (names[0], names[388], names[999]) == ("tench", "giant panda", "toilet tissue")


def test_the_names_are_those_of_others(shared: Path) -> None:
    rows = (shared / "imagenet/classes.tsv").read_text().splitlines()[1:]
    assert labels.imagenet() == tuple(row.split("\t")[2] for row in rows)
