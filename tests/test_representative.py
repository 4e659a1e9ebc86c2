"""The representative dataset from every source it can have."""

import hashlib
import io
import json
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lite_toolkit import outputs
from lite_toolkit.datasets import representative
from lite_toolkit.datasets.representative import MAXIMUM_ARRAY_IMAGES, load_representative
from lite_toolkit.datasets.synthetic import synthetic_image
from lite_toolkit.errors import ImageError
from lite_toolkit.images.files import read_image
from lite_toolkit.images.preprocessing import PRESETS, google_lite
from lite_toolkit.progress import Steps

SPEC = google_lite((24, 32))


@pytest.fixture
def folder(tmp_path):
    """Thirty photographs; the pixel values of each are its number."""
    for number in range(30):
        path = tmp_path / "photographs" / f"class{number % 3}" / f"{number:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 50), (number, number, number)).save(path)
    return tmp_path / "photographs"


def numbers(images):
    """Which of the folder's photographs these are."""
    return [round(float(image[0, 0, 0]) * 128 + 127) for image in images]


def load(source, samples=100, seed=0, spec=SPEC):
    return load_representative(source, spec, samples, seed)


def test_a_folder(folder):
    dataset = load(folder)
    assert dataset.description == f"30 photographs in {folder.name}"
    assert len(dataset.calibration) == 24
    assert len(dataset.held_out) == 6
    assert dataset.calibration[0].shape == (24, 32, 3)
    assert dataset.calibration[0].dtype == np.float32
    assert sorted(numbers(dataset.calibration) + numbers(dataset.held_out)) == list(range(30))
    assert not dataset.skipped


def test_slices_are_batches(folder):
    images = load(folder).calibration
    assert images[4:10].shape == (6, 24, 32, 3)
    assert np.array_equal(images[:][-1], images[-1])
    with pytest.raises(IndexError):
        images[24]


def test_digests_are_of_the_files(folder):
    digests = load(folder).digests
    assert list(digests) == sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.png"))
    assert digests["class1/04.png"] == hashlib.sha256((folder / "class1/04.png").read_bytes()).hexdigest()


def test_samples_are_chosen_by_the_seed_and_stay_in_order(folder):
    chosen = [list(load(folder, samples=12, seed=seed).digests) for seed in (0, 0, 1)]
    assert len(chosen[0]) == 12
    assert chosen[0] == chosen[1] == sorted(chosen[0])
    assert chosen[0] != chosen[2]


def test_every_image_is_as_likely_to_be_chosen(folder):
    counts = np.zeros(30)
    for seed in range(60):
        dataset = load(folder, samples=10, seed=seed)
        counts[numbers(dataset.calibration)] += 1
    # Binomial with 60 trials of 1/3: mean 20, deviation 3.7.
    assert counts.min() >= 5
    assert counts.max() <= 35


@pytest.mark.parametrize(("samples", "held_out"), [(1, 0), (19, 0), (20, 4), (24, 4), (25, 5), (30, 6)])
def test_a_fifth_is_held_out_of_20_or_more(folder, samples, held_out):
    dataset = load(folder, samples=samples)
    assert len(dataset.held_out) == held_out
    assert len(dataset.calibration) == samples - held_out


def test_the_held_out_images_do_not_follow_the_order(folder):
    held_out = {tuple(sorted(numbers(load(folder, seed=seed).held_out))) for seed in range(5)}
    assert len(held_out) == 5
    assert all(len(set(np.diff(chosen))) > 1 for chosen in held_out)


def test_a_damaged_image_is_skipped_and_named(folder):
    (folder / "class0/00.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    Image.new("RGB", (1, 9000)).save(folder / "ribbon.png")
    dataset = load(folder, spec=PRESETS["imagenet"](224))
    assert dataset.description.startswith("29 photographs")
    assert len(dataset.calibration) + len(dataset.held_out) == len(dataset.digests) == 29
    assert [message.split(": ")[0] for message in dataset.skipped] == [
        "class0/00.png",
        "ribbon.png",
    ]


def test_nothing_but_damaged_images(tmp_path):
    (tmp_path / "a.png").touch()
    with pytest.raises(ImageError, match=r"none of 1 images can be read; the first: .*a\.png: not an image"):
        load(tmp_path)


def test_synthetic_images_have_the_input_size_and_are_not_cropped():
    dataset = load(None, samples=25, seed=3)
    assert dataset.description == "25 synthetic images"
    assert (len(dataset.calibration), len(dataset.held_out)) == (20, 5)
    first = SPEC.normalize(synthetic_image(3, 0, (24, 32)))
    assert any(np.array_equal(images[0], first) for images in (dataset.calibration, dataset.held_out))
    assert load(None, samples=25, seed=3).digests == dataset.digests
    assert load(None, samples=25, seed=4).digests != dataset.digests


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
@pytest.mark.parametrize("size", [(24, 32), (50, 40)])
def test_uint8_arrays_are_images(tmp_path, suffix, size):
    images = np.stack([synthetic_image(0, index, size) for index in range(4)])
    path = tmp_path / f"images{suffix}"
    np.save(path, images) if suffix == ".npy" else np.savez_compressed(path, images)
    dataset = load(path)
    assert dataset.description == f"4 images of {path.name}"
    pixels = images[2] if size == (24, 32) else SPEC.pixels(Image.fromarray(images[2]))
    assert np.array_equal(dataset.calibration[2], SPEC.normalize(pixels))
    assert dataset.digests == {path.name: hashlib.sha256(path.read_bytes()).hexdigest()}


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_float32_arrays_are_preprocessed_already(tmp_path, suffix):
    images = np.linspace(-1, 1, 30 * 24 * 32 * 3, dtype=np.float32).reshape(30, 24, 32, 3)
    path = tmp_path / f"images{suffix}"
    np.save(path, images) if suffix == ".npy" else np.savez(path, images=images, labels=np.arange(30))
    dataset = load(path, samples=10)
    chosen = [int(np.flatnonzero((images == image).all((1, 2, 3)))[0]) for image in dataset.calibration]
    assert len(chosen) == 10
    assert chosen == sorted(set(chosen))


def npy(header, data=b"", version=(1, 0)):
    header = header.encode() + b"\n"
    return b"\x93NUMPY" + bytes(version) + len(header).to_bytes(2, "little") + header + data


def described(shape, dtype="|u1", fortran=False):
    return npy(f"{{'descr': '{dtype}', 'fortran_order': {fortran}, 'shape': {shape}, }}")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            described((4, 24, 32)),
            r"uint8 array of shape \(4, 24, 32\): must be C-ordered uint8 \(n, height, width, 3\)",
        ),
        (described(()), "uint8 array of shape"),
        (described((4, 3, 24, 32)), r"shape \(4, 3, 24, 32\): must be"),
        (described((0, 24, 32, 3)), r"shape \(0, 24, 32, 3\): must be"),
        (described((4, -24, -32, 3)), "must be"),
        (described((4, 24, 32, 3), "<f8"), "float64 array"),
        (described((4, 20, 20, 3), "<f4"), r"or float32 \(n, 24, 32, 3\)"),
        (described((4, 24, 32, 3), "|O"), "object array"),
        (described((4, 24, 32, 3), fortran=True), "in Fortran order"),
        (described((10**15, 24, 32, 3)), f"n at most {MAXIMUM_ARRAY_IMAGES:,}"),
        (described((1, 10**9, 10**9, 3)), "must be C-ordered"),
        (described((4, 24, 32, 3)), "ends within image 0 of 4"),
        (npy("{" * 500), "cannot read this array: "),
        (npy("{}", version=(9, 9)), r"version \(9, 9\)"),
        (b"", "cannot read this array: "),
        (b"not an array", "cannot read this array: "),
    ],
)
@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_other_arrays_are_refused_in_one_line(tmp_path, suffix, content, message):
    path = tmp_path / f"images{suffix}"
    if suffix == ".npz":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("arr_0.npy", content)
    else:
        path.write_bytes(content)
    with pytest.raises(ImageError, match=message) as caught:
        load(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_a_pickle_is_not_loaded(tmp_path):
    path = tmp_path / "images.npy"
    np.save(path, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(ImageError, match="object array"):
        load(path)


@pytest.mark.parametrize("value", [255, np.nan, -np.inf])
def test_floats_that_are_not_preprocessed_are_refused(tmp_path, value):
    images = np.zeros((3, 24, 32, 3), np.float32)
    images[1, 5, 5, 0] = value
    np.save(tmp_path / "images.npy", images)
    with pytest.raises(ImageError, match=r"image 1 has values .*: preprocessed images lie in -0\.9922 to 1"):
        load(tmp_path / "images.npy")


def test_an_npz_of_several_arrays_needs_one_named_images(tmp_path):
    path = tmp_path / "images.npz"
    np.savez(path, train=np.zeros(3), test=np.zeros(3))
    with pytest.raises(ImageError, match=r'one array, or one named "images": it holds 2 \(train\.npy, test\.npy\)'):
        load(path)


def test_a_damaged_npz(tmp_path):
    buffer = io.BytesIO()
    np.savez_compressed(buffer, synthetic_image(0, 0, (24, 32))[None])
    path = tmp_path / "images.npz"
    path.write_bytes(buffer.getvalue()[:-40])
    with pytest.raises(ImageError, match=r"images\.npz: "):
        load(path)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("missing", "no such file or folder"),
        ("photo.png", "must be a folder of images, a .npy or a .npz file"),
        ("empty", r"no image in this folder: must hold \.jpg, \.png"),
    ],
)
def test_other_sources_are_refused(tmp_path, name, message):
    Image.new("RGB", (40, 40)).save(tmp_path / "photo.png")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ImageError, match=message):
        load(tmp_path / name)


@pytest.mark.parametrize(("samples", "seed"), [(0, 0), (10, -1)])
def test_arguments_out_of_range(samples, seed):
    with pytest.raises(ImageError, match=f"{samples} samples with seed {seed}: must be at least 1"):
        load(None, samples=samples, seed=seed)


@pytest.mark.parametrize("kind", ["folder", "array", "synthetic"])
def test_progress_sees_every_image(folder, tmp_path, kind):
    seen = []

    class Seen(Steps):
        def track(self, items, total):
            for item in items:
                yield item
                seen.append(total)

    np.save(tmp_path / "images.npy", np.zeros((30, 24, 32, 3), np.uint8))
    source = {"folder": folder, "array": tmp_path / "images.npy", "synthetic": None}[kind]
    load_representative(source, SPEC, 30, 0, Seen())
    assert seen == [30] * 30


def test_photographs_are_decoded_as_they_are_asked_for(folder, monkeypatch):
    decoded = []

    def decode(path):
        decoded.append(path)
        return read_image(path)

    monkeypatch.setattr(representative, "read_image", decode)
    images = representative.read(folder, SPEC)
    assert next(images.prepared)[0] == "class0/00.png"
    assert len(decoded) <= representative.DECODED_AHEAD + 1
    assert [name for name, _ in images.prepared][-1] == "class2/29.png"
    assert len(decoded) == len(images.digests) == 30


def test_bgr_reaches_images_arrays_and_synthetic_images(tmp_path):
    spec = PRESETS["pixels"]((24, 32))
    bgr = type(spec)(**(vars(spec) | {"channel_order": "bgr"}))
    np.save(tmp_path / "images.npy", synthetic_image(1, 0, (24, 32))[None])
    for source in (None, tmp_path / "images.npy"):
        images = load_representative(source, bgr, 1, 1).calibration
        assert np.array_equal(images[0], synthetic_image(1, 0, (24, 32))[..., ::-1])


def test_to_json_is_what_a_manifest_records(folder):
    (folder / "damaged.png").touch()
    document = json.loads(json.dumps(load(folder).to_json()))
    assert document["description"] == f"30 photographs in {folder.name}"
    assert (document["calibration_images"], document["held_out_images"]) == (24, 6)
    assert len(document["sha256"]) == 30
    assert document["skipped"] == ["damaged.png: not an image that Pillow reads"]


def test_shared_photographs():
    photographs = Path(__file__).resolve().parents[1].parent / "shared" / "imagenet" / "calibration"
    if not photographs.is_dir():
        pytest.skip("needs the photographs of ../shared/imagenet/calibration")
    dataset = load(photographs, samples=40, spec=google_lite(224))
    assert (len(dataset.calibration), len(dataset.held_out), dataset.skipped) == (32, 8, ())
    low, high = google_lite(224).value_range
    batch = dataset.calibration[:]
    assert low <= batch.min() < -0.9
    assert 0.9 < batch.max() <= high


def test_names_that_are_no_utf8(tmp_path):
    name = os.fsdecode(b"caf\xe9.png")
    Image.new("RGB", (40, 50)).save(tmp_path / name)
    (tmp_path / os.fsdecode(b"broken\xe9.png")).write_bytes(b"")
    dataset = load(tmp_path)
    assert list(dataset.digests) == [name]
    assert "caf\ufffd.png" in outputs.to_json(dataset.to_json())
    outputs.to_json(dataset.to_json()).encode()
