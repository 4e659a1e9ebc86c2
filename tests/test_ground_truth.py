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
        (["a.jpg"], "a.jpg,1\n", Numbering(2, None, ("1", "2")), ["'1' is a class index, and the label of class 0"]),
        (["crane/a.jpg"], None, Numbering(2, None, ("crane", "crane")), ["'crane' is the label of classes 0 and 1"]),
        (["a.jpg", "b.jpg"], "a.jpg,0\n", NUMBERING, ["1 of 2 images have no class by labels.csv: b.jpg"]),
        (["a.jpg"], "a.jpg,-1\n", NUMBERING, ["'-1' of labels.csv is no class"]),
        (["a.jpg"], "a.jpg\n", NUMBERING, ["labels.csv, line 1: 'a.jpg' has one column: must be an image's path"]),
        (["a.jpg"], "a.jpg,0\nb.jpg\n", NUMBERING, ["labels.csv, line 2: 'b.jpg' has 1 columns, and line 1 2"]),
        (["a.jpg"], "a.jpg,\n", NUMBERING, ["labels.csv, line 1: 'a.jpg,': must hold an image's path and its class"]),
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


PHOTOS = ["a.jpg", "b.jpg", "c.jpg"]  # of a shark, a goldfish and a tench


@pytest.mark.parametrize(
    "table",
    [
        "a.jpg;shark\nb.jpg;goldfish\nc.jpg;tench\n",
        "a.jpg\tshark\r\nb.jpg\tgoldfish\r\nc.jpg\ttench\r\n",
        "a.jpg 2\nb.jpg 1\nc.jpg 0\n",
        "file|class\na.jpg|2.0\nb.jpg|1.0\nc.jpg|0.0\n",
        "\ufefffilename,label\na.jpg,shark\nb.jpg,goldfish\nc.jpg,tench\n",
        "label,path\nshark,a.jpg\ngoldfish,b.jpg\ntench,c.jpg\n",
        "id,breed\na,shark\nb,goldfish\nc,tench\n",
        ",filename,label\n0,a.jpg,shark\n1,b.jpg,goldfish\n2,c.jpg,tench\n",
        "Unnamed: 0,x,y\n0,a.jpg,2\n1,b.jpg,1\n2,c.jpg,0\n",
        "0,a.jpg,2\n1,b.jpg,1\n2,c.jpg,0\n",
        "Width,Height,Roi.X1,ClassId,Path\n64,1,1,2,a.jpg\n64,1,1,1,b.jpg\n64,1,1,0,c.jpg\n",
        "file,width,species of fish\na.jpg,640,shark\nb.jpg,0,goldfish\nc.jpg,0,tench\n",
        "image,class_id,class_name\na.jpg,2,shark\nb.jpg,1,goldfish\nc.jpg,0,tench\n",
        "image,tench,goldfish,shark\na.jpg,0,0,1\nb.jpg,0,1,0\nc.jpg,1,0,0\n",
        "image,tench,goldfish,shark,blurred,size\na,0.0,0.0,1.0,1,7\nb,0.0,1.0,0.0,1,8\nc,1.0,0.0,0.0,0,9\n",
        "image;0;1;2\na.jpg;False;False;True\nb.jpg;False;True;False\nc.jpg;True;False;False\n",
        ".\\a.jpg,shark\n.\\b.jpg,goldfish\n.\\c.jpg,tench\n",
        "HERE/a.jpg,shark\nHERE/b.jpg,goldfish\nHERE/c.jpg,tench\n",
        "C:\\data\\fish\\a.jpg,shark\nC:\\data\\fish\\b.jpg,goldfish\nC:\\data\\fish\\c.jpg,tench\n",
        "fish/a.jpg,shark\nfish/b.jpg,goldfish\nfish/c.jpg,tench\n",
        "a.jpg,shark\n\nb.jpg,goldfish\nc.jpg,tench\n\n",
    ],
)
def test_tables_in_use(tmp_path: Path, table: str) -> None:
    folder = tmp_path / "fish"
    folder.mkdir()
    (folder / "labels.csv").write_text(table.replace("HERE", str(folder)), encoding="utf-8", newline="")
    found = read(folder, PHOTOS, NUMBERING)
    assert (found.classes.tolist(), found.absent) == ([2, 1, 0], ())


def test_images_in_subfolders_by_their_names(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text(
        "id,label\na,shark\nb.jpg,tench\nflat\\\\c.jpg,goldfish\n".replace("\\\\", "\\")
    )
    assert classes(tmp_path, ["flat/a.jpg", "deep/b.jpg", "flat/c.jpg"]) == ("labels.csv", [2, 0, 1])


@pytest.mark.parametrize(
    ("images", "table", "parts"),
    [
        (["a.jpg", "a.png"], "id,label\na,shark\n", ["line 2: 'a' is a.jpg or a.png: name one"]),
        (["x/a.jpg", "y/a.jpg"], "a.jpg,shark\n", ["line 1: 'a.jpg' is x/a.jpg or y/a.jpg: name one"]),
        (PHOTOS, "a.jpg,2,1\nb.jpg,1,1\nc.jpg,0,1\n", ["classes are named by column 2 or by column 3, which differ"]),
        (
            PHOTOS,
            "file,label,target\na.jpg,2,shark\nb.jpg,2,tench\nc.jpg,0,tench\n",
            ["classes are named by 'label' or by 'target', which differ"],
        ),
        (
            PHOTOS,
            "file,mood,colour\na.jpg,glad,red\nb.jpg,sad,red\nc.jpg,sad,blue\n",
            ["by 'mood' or by 'colour', neither of which names the model's classes everywhere"],
        ),
        (PHOTOS, "a.jpg,c.jpg,2\nb.jpg,b.jpg,1\nc.jpg,a.jpg,0\n", ["column 1 ('c.jpg') or by column 2 ('a.jpg')"]),
        (
            PHOTOS,
            "file,tench,shark\na.jpg,0,1\nb.jpg,1,1\nc.jpg,1,0\n",
            ["line 3", "has 2 of the classes 'tench', 'shark'"],
        ),
        (PHOTOS, "other/a.jpg,2\n", ["3 of 3 images have no class"]),
    ],
)
def test_tables_that_can_be_read_in_two_ways(tmp_path: Path, images: list[str], table: str, parts: list[str]) -> None:
    (tmp_path / "labels.csv").write_text(table)
    with pytest.raises(ImageError) as refusal:
        read(tmp_path, images, NUMBERING)
    assert all(part in str(refusal.value) for part in parts)


def test_folders_whose_names_are_numbers_and_labels(tmp_path: Path) -> None:
    """Keras' order is that of the names."""
    numbering = Numbering(4, None, ("0", "1", "10", "2"))
    assert classes(tmp_path, ["0/a.jpg", "10/b.jpg", "2/c.jpg"], numbering) == ("the folders' names", [0, 2, 3])
    assert classes(tmp_path, ["0/a.jpg", "3/b.jpg"], numbering) == ("the folders' names", [0, 3])  # no label of these


def test_some_images_of_a_folder(tmp_path: Path) -> None:
    """A short name is that of one image of the whole folder."""
    (tmp_path / "labels.csv").write_text("a,shark\n")
    with pytest.raises(ImageError, match=r"'a' is a\.jpg or a\.png"):
        read(tmp_path, ["a.png"], NUMBERING, listed=["a.jpg", "a.png"])


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
