"""A folder of labelled images: how its classes are told, how it is split, and what `lite-toolkit data` says of it."""

import json
import re
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from lite_toolkit.board.survey import fingerprint
from lite_toolkit.cli import main
from lite_toolkit.datasets import duplicates, labelled, split
from lite_toolkit.datasets.labelled import Labelled
from lite_toolkit.datasets.split import Shares
from lite_toolkit.errors import ImageError, UsageError
from lite_toolkit.progress import Steps
from lite_toolkit.training import head, survey
from lite_toolkit.training.backbone import Backbone
from lite_toolkit.training.contents import Survey

GENERATOR = np.random.default_rng(4)


def picture(width: int = 80, height: int = 72) -> Image.Image:
    """Smooth colours, of which no two are alike."""
    coarse = Image.fromarray(GENERATOR.integers(0, 256, (6, 8, 3), dtype=np.uint8))
    return coarse.resize((width, height), Image.Resampling.BICUBIC)


def fill(folder: Path, counts: dict[str, int]) -> Path:
    """A folder with so many images in each of its folders."""
    for name, count in counts.items():
        (folder / name).mkdir(parents=True)
        for number in range(count):
            picture().save(folder / name / f"{number}.png")
    return folder


def made(classes: Sequence[str], parts: Sequence[labelled.Part] = ()) -> Labelled:
    return Labelled(Path("data"), "", tuple(f"{n}.jpg" for n in range(len(classes))), tuple(classes), tuple(parts))


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main.main, ["data", *map(str, arguments)], env={"COLUMNS": "120"})


def report(*arguments: object) -> dict[str, Any]:
    result = run(*arguments, "--no-labels", "--json")
    assert result.exit_code == 0, result.output
    document: dict[str, Any] = json.loads(result.stdout)
    return document


# Classes and parts


def test_the_first_folder_is_the_class_whatever_lies_between(tmp_path: Path) -> None:
    found = labelled.read(fill(tmp_path, {"a b": 1, "😀/2024/may": 2}))
    assert (found.classes, found.parts) == (("a b", "😀", "😀"), ())


@pytest.mark.parametrize(
    ("folders", "parts"),
    [
        (("train/x", "valid/x", "test/x"), {"train": "train", "valid": "validation", "test": "test"}),
        (("Training/x", "Testing/x"), {"Training": "train", "Testing": "test"}),
        (("train/x", "val/x"), {"train": "train", "val": "test"}),  # nothing else judges
        (("train/x",), {"train": "train"}),
    ],
)
def test_folders_of_parts_hold_folders_of_classes(
    tmp_path: Path, folders: Sequence[str], parts: dict[str, str]
) -> None:
    found = labelled.read(fill(tmp_path, dict.fromkeys(folders, 1)))
    assert set(found.classes) == {"x"}
    assert {image.split("/")[0]: part for image, part in zip(found.images, found.parts, strict=True)} == parts


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    found = labelled.read(fill(tmp_path, {"bus": 1, "car": 1, "train": 1}))
    assert (found.classes, found.parts) == (("bus", "car", "train"), ())


@pytest.mark.parametrize(
    ("folders", "message"),
    [
        (("train/x", "test/x", "extras/x"), "test, train are parts, but 'extras' is none"),
        (("train/x", "val/x", "valid/x"), "val and valid are both the validation part"),
        (("val/x", "test/x"), "holds test, val, but no train"),
        (("photos/x", "photos/y"), "one class only, 'photos': if its folders are the classes, pass .*photos"),
        (("x", ""), "has no class: must lie in a folder of its class"),
        (("train/x", "test"), "test/0.png: has no class"),
    ],
)
def test_what_can_be_taken_in_two_ways_is_an_error(tmp_path: Path, folders: Sequence[str], message: str) -> None:
    for folder in folders:
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        picture().save(tmp_path / folder / "0.png")
    with pytest.raises(ImageError, match=message):
        labelled.read(tmp_path)


def test_a_table_tells_classes_of_any_name_and_what_it_does_not_name_is_left_out(tmp_path: Path) -> None:
    fill(tmp_path, {"img": 4})
    (tmp_path / "labels.csv").write_text("id,breed\n0,pug/toy\n1,chow\n2,chow\n9,chow\n")
    found = labelled.read(tmp_path)
    assert (found.images, found.classes) == (("img/0.png", "img/1.png", "img/2.png"), ("pug/toy", "chow", "chow"))
    assert found.notes == (
        "named by labels.csv, but not there: 1 (9)",
        "left out, since labels.csv does not name them: 1 (img/3.png)",
    )


# The split


@pytest.mark.parametrize(
    ("images", "train", "validation", "test"),
    [(2, 1, 0, 1), (3, 1, 1, 1), (4, 2, 1, 1), (5, 2, 1, 2), (6, 2, 2, 2), (20, 14, 3, 3), (100, 70, 15, 15)],
)
def test_each_part_has_its_share_of_every_class(images: int, train: int, validation: int, test: int) -> None:
    data = made(["x"] * images + ["y"] * images)
    parts = split.deal(data, np.arange(2 * images), Shares())
    for name in "xy":
        counts = Counter(part for part, own in zip(parts, data.classes, strict=True) if own == name)
        assert (counts["train"], counts["validation"], counts["test"]) == (train, validation, test)


def test_the_seed_alone_decides() -> None:
    data, groups = made(["x"] * 30 + ["y"] * 30), np.arange(60)
    assert split.deal(data, groups, Shares(seed=1)) == split.deal(data, groups, Shares(seed=1))
    assert split.deal(data, groups, Shares(seed=1)) != split.deal(data, groups, Shares(seed=2))


def test_copies_stay_on_one_side() -> None:
    groups = np.repeat(np.arange(0, 60, 3), 3)  # of classes alike and different
    parts = split.deal(made(["x"] * 28 + ["y"] * 32), groups, Shares())
    assert all(len({parts[image] for image in np.flatnonzero(groups == group)}) == 1 for group in groups)
    assert {"train", "validation", "test"} == set(parts)


def test_a_class_keeps_something_to_learn_from_though_its_images_come_in_groups() -> None:
    parts = split.deal(made(["x"] * 4 + ["y"] * 4), np.array([0, 0, 2, 2, 4, 4, 4, 4]), Shares())
    assert parts[4:] == ("train",) * 4
    assert "train" in parts[:4]


def test_parts_that_folders_tell_stay_and_the_others_are_dealt_from_train() -> None:
    told: list[labelled.Part] = ["train"] * 20 + ["test"] * 10
    parts = split.deal(made(["x", "y"] * 15, told), np.arange(30), Shares())
    assert parts[20:] == ("test",) * 10
    assert Counter(parts[:20]) == {"train": 16, "validation": 4}
    with pytest.raises(UsageError, match="--test 10: the folders of data tell the test part"):
        split.deal(made(["x", "y"] * 15, told), np.arange(30), Shares(test=10))


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ("xxy", "a class has one image, .*: 'y'"),
        ("xyzuvv", "4 classes have one image each.*'u', 'x', 'y', ..."),
        ("xx", "one class only"),
    ],
)
def test_a_class_of_one_image_is_named(classes: str, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        split.deal(made(classes), np.arange(len(classes)), Shares())


def test_shares_are_percent() -> None:
    assert Counter(split.deal(made("xy" * 50), np.arange(100), Shares(0, 20))) == {"train": 80, "test": 20}
    with pytest.raises(UsageError, match="--test 60: must be from 0 to 50 percent"):
        Shares(test=60)


# Copies


def in_format(image: Image.Image, path: Path, **options: Any) -> Image.Image:
    image.save(path, **options)
    return Image.open(path).convert("RGB")


CHANGES: dict[str, Callable[[Image.Image, Path], Image.Image]] = {
    "half": lambda image, _: image.resize((image.width // 2, image.height // 2)),
    "fifth": lambda image, _: image.resize((image.width // 5, image.height // 5)),
    "nearest": lambda image, _: image.resize((image.width * 3 // 2, image.height * 2), Image.Resampling.NEAREST),
    "square": lambda image, _: image.resize((224, 224), Image.Resampling.BILINEAR),
    "jpeg": lambda image, folder: in_format(image, folder / "a.jpg", quality=20),
    "webp": lambda image, folder: in_format(image, folder / "a.webp", quality=40),
    "palette": lambda image, _: image.convert("P", palette=Image.Palette.ADAPTIVE).convert("RGB"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_copy_in_another_size_or_compression_is_told(change: str, tmp_path: Path) -> None:
    originals = [picture(200, 160) for _ in range(20)]
    copies = [CHANGES[change](image, tmp_path) for image in originals]
    pictures = np.stack([fingerprint(image).reshape(-1) for image in (*originals, *copies)])
    groups = duplicates.groups(pictures, [str(number) for number in range(40)])
    assert groups.tolist() == [*range(20), *range(20)]


def test_the_same_file_is_a_copy_whatever_it_shows() -> None:
    blank = np.zeros((3, 768), np.uint8)
    blank[2, :384] = 255
    assert duplicates.groups(blank[[0, 2]], ["a", "a"]).tolist() == [0, 0]
    assert duplicates.groups(blank, ["a", "b", "c"]).tolist() == [0, 0, 2]


# Doubtful labels


def clouds(images: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Features of classes that lie apart, but not far."""
    generator = np.random.default_rng(8)
    numbers = np.arange(images) % classes
    centres = generator.normal(size=(classes, 40))
    return (centres[numbers] * 1.5 + generator.normal(size=(images, 40))).astype(np.float32), numbers


def test_a_changed_label_is_less_probable_than_others() -> None:
    features, classes = clouds(200, 4)
    changed = np.arange(0, 200, 20)
    given = classes.copy()
    given[changed] = (given[changed] + 1) % 4
    judged = head.cross_validated(features, given, 4, np.arange(200), 0, Steps())
    worst = np.argsort(judged.probabilities[np.arange(200), given])[:20]
    assert set(changed) <= set(worst.tolist())
    assert judged.probabilities.sum(axis=1) == pytest.approx(1)


def test_a_copy_does_not_vouch_for_a_label() -> None:
    features, classes = clouds(100, 2)
    features[50:] = features[:50]  # each image twice, with the same label
    classes[50:] = classes[:50]
    classes[[0, 50]] = 1 - classes[0]
    groups = np.tile(np.arange(50), 2)
    judged = head.cross_validated(features, classes, 2, groups, 0, Steps()).probabilities
    assert judged[[0, 50], classes[0]].max() < 0.5


def test_weights_are_where_the_penalised_loss_is_least() -> None:
    """Its gradient, written out: every class counts alike, however many images it has."""
    features, classes = clouds(60, 3)
    features, classes = features[classes < 2 + (np.arange(60) < 30)], classes[classes < 2 + (np.arange(60) < 30)]
    weights = head.fit(features, classes, 3, 0.1)
    share = 1 / (3 * np.bincount(classes)[classes])
    error = (head.probabilities(features, weights) - np.eye(3)[classes]) * share[:, None]
    assert features.T @ error + 0.1 * weights[:-1] == pytest.approx(0, abs=1e-3)
    assert error.sum(axis=0) == pytest.approx(0, abs=1e-3)


# The command


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes of 8 images, with a copy in the other class, a smaller one in its own, and one that is damaged."""
    folder = fill(tmp_path_factory.mktemp("data") / "pets", {"cat": 8, "dog": 8})
    shutil.copy(folder / "cat/0.png", folder / "dog/same.png")
    Image.open(folder / "dog/1.png").resize((40, 36)).save(folder / "dog/small.jpg")
    (folder / "dog/broken.jpg").write_bytes(b"no image")
    return folder


def test_it_says_what_is_there(folder: Path) -> None:
    found = report(folder)
    assert (found["schema"], found["data"], found["images"]) == ("lite-toolkit/data", "pets", 18)
    assert {row["class"]: row["images"] for row in found["classes"]} == {"cat": 8, "dog": 10}
    assert found["unreadable_images"] == ["dog/broken.jpg: not an image that Pillow reads"]
    assert found["tiny_images"] == [{"image": "dog/small.jpg", "width_px": 40, "height_px": 36}]
    assert [(copy["images"], copy["same_file"], copy["classes"]) for copy in found["copies"]] == [
        (["cat/0.png", "dog/same.png"], True, ["cat", "dog"]),
        (["dog/1.png", "dog/small.jpg"], False, ["dog", "dog"]),
    ]
    assert found["sizes"]["width_px"] == {"least": 40, "median": 80, "most": 80}
    assert found["notes"] == ["groups of copies with several classes, of which at least one is wrong: 1"]


def test_people_see_the_same(folder: Path) -> None:
    shown = run(folder, "--no-labels")
    assert "18 in pets, 1 unreadable, 1 tiny" in shown.output
    assert "cat/0.png, dog/same.png" in shown.output
    assert "warning: cannot read dog/broken.jpg" in shown.stderr


def test_an_image_that_is_gone_meanwhile_counts_as_unreadable(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(folder, tmp_path / "pets")
    read = labelled.read

    def then_delete(folder: Path, table: Path | None) -> Labelled:
        found = read(folder, table)
        (folder / "cat/3.png").unlink()
        return found

    monkeypatch.setattr(labelled, "read", then_delete)
    assert report(tmp_path / "pets")["unreadable_images"][0] == "cat/3.png: no such file"


def test_a_split_is_used_again(folder: Path, tmp_path: Path) -> None:
    first = report(folder, "--seed", 7, "--test", "20%", "--save-split", tmp_path / "split.csv")
    assert report(folder, "--split", tmp_path / "split.csv")["classes"] == first["classes"]
    rows = split.read(tmp_path / "split.csv")
    assert Counter(row.part for row in rows.values()) == {
        part: sum(row[part] for row in first["classes"]) for part in labelled.PARTS
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda folder: (folder / "cat/0.png").unlink(),
            "names 1 images that .* has no more, or not readable: cat/0.png",
        ),
        (lambda folder: shutil.copy(folder / "cat/1.png", folder / "cat/0.png"), "cat/0.png is another file now"),
    ],
)
def test_a_split_of_other_images_is_refused(
    folder: Path, tmp_path: Path, change: Callable[[Path], object], message: str
) -> None:
    shutil.copytree(folder, tmp_path / "pets")
    report(folder, "--save-split", tmp_path / "split.csv")
    change(tmp_path / "pets")
    done = run(tmp_path / "pets", "--no-labels", "--split", tmp_path / "split.csv")
    assert done.exit_code == 1
    assert re.fullmatch(f"Error: .*{message}.*\n", done.stderr)


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory, tiny: Any) -> Backbone:
    """A network of six features, which stands in for lite0's."""
    from lite_toolkit.conversion import float_model
    from lite_toolkit.documents import sha256
    from lite_toolkit.images.preprocessing import google_lite

    path = tmp_path_factory.mktemp("network") / "tiny.tflite"
    path.write_bytes(float_model.to_tflite(float_model.from_keras(tiny), "features"))
    return Backbone(path, sha256(path), google_lite(32))


@pytest.fixture
def judged(folder: Path, network: Backbone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Survey:
    monkeypatch.setattr(survey, "backbone", lambda _: network)
    return survey.survey(survey.Request(folder, cache=tmp_path / "cache"))


def test_every_label_is_judged_the_least_probable_first(judged: Survey, network: Backbone) -> None:
    pngs = {f"{name}/{number}.png" for name in ("cat", "dog") for number in range(8)}
    assert {label.image for label in judged.labels} == pngs | {"dog/same.png", "dog/small.jpg"}
    given = [label.probability_percent for label in judged.labels]
    assert given == sorted(given)
    assert judged.backbone == network.sha256


def test_what_is_cached_is_not_computed_again(
    judged: Survey, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (kept,) = (tmp_path / "cache").iterdir()
    assert len(list(kept.iterdir())) == 17  # one of two files that are the same
    job: list[tuple[str, ...]] = []
    records = survey._records
    monkeypatch.setattr(
        survey, "_records", lambda session, of, files: (job.append(of.images), records(session, of, files))[1]
    )
    next(kept.iterdir()).write_text("{")  # is computed again
    assert survey.survey(survey.Request(folder, cache=tmp_path / "cache")) == judged
    assert len(job[0]) in (2, 3)  # that one, and the damaged one
    assert "dog/broken.jpg" in job[0]


def test_the_page_shows_the_doubtful_images(judged: Survey, folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    pytest.importorskip("jinja2")
    judged.save(tmp_path / "data.json")
    arguments = [tmp_path / "data.json", "--images", folder, "-o", tmp_path / "page.html"]
    done = CliRunner().invoke(main.main, ["report", *map(str, arguments)])
    assert done.exit_code == 0, done.output
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert page.count('<img src="data:image/jpeg;base64,') == 18
    assert "cat/0.png, dog/same.png" in page


def test_no_path_of_a_report_is_opened(judged: Survey, folder: Path, tmp_path: Path) -> None:
    from lite_toolkit.page import thumbnails

    picture().save(tmp_path / "secret.png")
    outside = replace(judged.labels[0], image=f"../../{tmp_path.name}/secret.png")
    assert thumbnails.doubted(folder, replace(judged, labels=(outside,))) == {}
