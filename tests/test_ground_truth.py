"""Where the true classes come from, and what is refused."""

import json
from pathlib import Path

import pytest

from lite_toolkit.datasets.ground_truth import ClassIndex, Numbering, read, read_class_index
from lite_toolkit.errors import ImageError

WNIDS = ("n01440764", "n01443537", "n01484850")
INDEX = ClassIndex("classes.tsv", {wnid: number for number, wnid in enumerate(WNIDS)}, {0: "tench"})
LABELS = ("tench", "goldfish", "shark")
NUMBERING = Numbering(3, INDEX, LABELS)


def classes(folder: Path, images: list[str], numbering: Numbering = NUMBERING) -> tuple[str, list[int]]:
    found = read(folder, images, numbering)
    return found.source, found.classes.tolist()


@pytest.mark.parametrize(
    ("images", "source", "expected"),
    [
        (["0/a.jpg", "2/b.jpg", "1/deep/c.jpg"], "the folders' names", [0, 2, 1]),
        (["n01484850/a.jpg", "n01440764/b.jpg"], "the folders' names", [2, 0]),
        (["shark/a.jpg", "goldfish/n01440764_1.jpg"], "the folders' names", [2, 1]),
        (["n01484850_x.JPEG", "n01440764.png", "n01443537-2.jpg"], "the files' names", [2, 0, 1]),
        (["val/n01484850_x.JPEG", "train/n01440764_y.JPEG"], "the files' names", [2, 0]),
    ],
)
def test_names_tell(tmp_path: Path, images: list[str], source: str, expected: list[int]) -> None:
    assert classes(tmp_path, images) == (source, expected)


@pytest.mark.parametrize("heading", ["", "file,class\n"])
def test_a_table_comes_before_names(tmp_path: Path, heading: str) -> None:
    (tmp_path / "labels.csv").write_text(f'{heading}0/a.jpg,2\n"./0/b, c.jpg",n01443537\n1/d.jpg,tench\n')
    assert classes(tmp_path, ["0/a.jpg", "0/b, c.jpg", "1/d.jpg"]) == ("labels.csv", [2, 1, 0])


@pytest.mark.parametrize("mark", [0x0B, 0x0C, 0x1C, 0x1D, 0x1E, 0x85, 0x2028, 0x2029], ids=hex)
def test_only_the_ends_of_lines_end_a_line(tmp_path: Path, mark: int) -> None:
    """Not all that str.splitlines cuts at."""
    name = f"a{chr(mark)}b"
    (tmp_path / "labels.csv").write_bytes(f"{name}.jpg,2\r\nb.jpg,1\n".encode())
    assert classes(tmp_path, [f"{name}.jpg", "b.jpg"]) == ("labels.csv", [2, 1])
    (tmp_path / "index.json").write_text(json.dumps({"0": [WNIDS[0], f"a{chr(mark | 0x80)}b"]}, ensure_ascii=False))
    (tmp_path / "index.tsv").write_text(f"index\twnid\tname\n0\t{WNIDS[0]}\t{name}\n1\t{WNIDS[1]}\tshark\n")
    assert read_class_index(tmp_path / "index.json").names == {0: f"a{chr(mark | 0x80)}b"}
    assert read_class_index(tmp_path / "index.tsv").names == {0: name, 1: "shark"}


def test_a_given_table_comes_before_that_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("a.jpg,2\n")
    (tmp_path / "mine.csv").write_text("a.jpg,1\nb.jpg,0\n")
    found = read(tmp_path, ["a.jpg"], NUMBERING, tmp_path / "mine.csv")
    assert (found.source, found.classes.tolist(), found.absent) == ("mine.csv", [1], ("b.jpg",))


@pytest.mark.parametrize(
    ("images", "numbering", "expected", "offset"),
    [
        (["0/a.jpg", "999/b.jpg"], Numbering(1001), [1, 1000], 1),
        (["0/a.jpg", "1000/b.jpg"], Numbering(1001), [0, 1000], 0),  # counted with the background already
        (["0/a.jpg", "999/b.jpg"], Numbering(1000), [0, 999], 0),
        (["n01440764_1.jpg"], Numbering(1001, INDEX), [1], 1),
        (["n01440764_1.jpg"], Numbering(1001, ClassIndex("c", {WNIDS[0]: 1, WNIDS[1]: 1000}, {})), [1], 0),
        (["shark/a.jpg"], Numbering(1001, None, ("background", *LABELS)), [3], 0),  # labels are the model's own
    ],
)
def test_a_background_class_comes_first(
    tmp_path: Path, images: list[str], numbering: Numbering, expected: list[int], offset: int
) -> None:
    found = read(tmp_path, images, numbering)
    assert (found.classes.tolist(), found.offset) == (expected, offset)
    assert numbering.names(1) == {} or 0 not in Numbering(1001, INDEX).names(1)


def test_names_of_classes_follow_the_offset() -> None:
    assert Numbering(1001, INDEX).names(1) == {1: "tench"}
    assert Numbering(1000, INDEX).names(0) == {0: "tench"}
    assert NUMBERING.names(0) == dict(enumerate(LABELS))
    assert Numbering(1000).names(0) == {}


@pytest.mark.parametrize(
    ("images", "table", "numbering", "parts"),
    [
        (
            ["a.jpg", "b.jpg"],
            None,
            NUMBERING,
            ["no ground truth", "labels.csv", "n01440764_1.JPEG", "found a.jpg, b.jpg"],
        ),
        (
            ["0/a.jpg", "b.jpg", "c.jpg"],
            None,
            NUMBERING,
            ["2 of 3 images have no class by the folders'", "b.jpg, c.jpg"],
        ),
        (["n01440764_1.jpg"], None, Numbering(3), ["no ground truth", "a wnid (with --class-index FILE)"]),
        (["0/a.jpg", "n01440764/b.jpg"], None, Numbering(3), ["'n01440764'", "is a wnid: pass --class-index FILE"]),
        (["0/a.jpg", "whale/b.jpg"], None, NUMBERING, ["'whale' of the folders' names", "one of the model's labels"]),
        (["3/a.jpg"], None, NUMBERING, ["class 3 of the folders' names: the model has classes 0 to 2"]),
        (["9999999999/a.jpg"], None, NUMBERING, ["no ground truth"]),
        (["1/a.jpg"], None, Numbering(2, None, ("1", "2")), ["'1' is a class index, and the label of class 0"]),
        (["crane/a.jpg"], None, Numbering(2, None, ("crane", "crane")), ["'crane' is the label of classes 0 and 1"]),
        (["a.jpg", "b.jpg"], "a.jpg,0\n", NUMBERING, ["1 of 2 images have no class by labels.csv: b.jpg"]),
        (["a.jpg"], "a.jpg,-1\n", NUMBERING, ["'-1' of labels.csv is no class"]),
        (["a.jpg"], "a.jpg;0\n", NUMBERING, ["labels.csv, line 1: 'a.jpg;0': must be an image's path"]),
        (["a.jpg"], "a.jpg,0\na.jpg,1\n", NUMBERING, ["labels.csv, line 2: a.jpg has class 0 already"]),
    ],
)
def test_what_is_refused(
    tmp_path: Path, images: list[str], table: str | None, numbering: Numbering, parts: list[str]
) -> None:
    if table is not None:
        (tmp_path / "labels.csv").write_text(table)
    with pytest.raises(ImageError) as refusal:
        read(tmp_path, images, numbering)
    for part in parts:
        assert part in str(refusal.value)


@pytest.mark.parametrize(
    ("name", "content", "names"),
    [
        ("c.tsv", "index\twnid\tname\n0\tn01440764\ttench\n1\tn01443537\tgoldfish\n", {0: "tench", 1: "goldfish"}),
        ("c.csv", "wnid,index\nn01440764,0\nn01443537,1\n", {}),
        (
            "c.json",
            json.dumps({"0": ["n01440764", "tench"], "1": ["n01443537", "goldfish"]}),
            {0: "tench", 1: "goldfish"},
        ),
        ("c.txt", "\ufeffn01440764\nn01443537\n\n", {}),
    ],
)
def test_the_classes_of_a_data_set(tmp_path: Path, name: str, content: str, names: dict[int, str]) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    assert read_class_index(tmp_path / name) == ClassIndex(name, {"n01440764": 0, "n01443537": 1}, names)


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (b"", "holds no classes"),
        (b"tench\ngoldfish\n", "begins with 'tench'"),
        (b"{", "is no JSON file"),
        (b'{"0": "n01440764"}', "must be a list of a wnid and a name"),
        (b'{"a": ["n01440764", "tench"]}', "must be a class index and a wnid"),
        (b"n01440764\nn01440764\n", "every wnid must stand there once"),
        (b"index,wnid\n1,n01440764\n1,n01443537\n", "every wnid must stand there once"),
        (b"index,wnid\n1\n", "'1', ''"),
        (b"\xff\xfe", "is not a UTF-8 text file"),
        (b"x" * 200_000 + b",1\n", "is no table: field larger than"),
        (None, "cannot read classes from"),
    ],
)
def test_no_classes_of_a_data_set(tmp_path: Path, content: bytes | None, part: str) -> None:
    if content is not None:
        (tmp_path / "classes").write_bytes(content)
    with pytest.raises(ImageError, match=part):
        read_class_index(tmp_path / "classes")
