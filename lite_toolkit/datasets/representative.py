"""The representative dataset: the preprocessed images that calibrate a quantized model and then judge it."""

import dataclasses
import hashlib
import math
import zipfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lite_toolkit.datasets.synthetic import synthetic_images
from lite_toolkit.errors import ImageError
from lite_toolkit.images.files import MAXIMUM_PIXELS, find_images, read_image
from lite_toolkit.images.preprocessing import PreprocessingSpec

T = TypeVar("T")

HELD_OUT_ONE_IN = 5
FEWEST_TO_SPLIT = 20  # of fewer images, none are held out of calibration
DECODING_THREADS = 2  # Pillow decodes and resizes without the GIL; more threads hold more decoded photographs at once
MAXIMUM_ARRAY_IMAGES = 1_000_000  # the header of an array is not to be trusted, and the choice needs 8 bytes for each
_SAMPLING, _HOLDING_OUT = 1, 2  # the two choices must be independent, so each has a stream of its own


class Track(Protocol):
    """Shows progress: yields `items` unchanged, of which `total` are expected."""

    def __call__(self, items: Iterable[T], total: int) -> Iterable[T]: ...  # noqa: D102


@dataclass(frozen=True, eq=False)
class PreparedImages:
    """Preprocessed images: an index gives float32 (height, width, 3), a slice (n, height, width, 3).

    Attributes:
        spec: normalises what is stored as pixels.
        stored: (any, height, width, 3), uint8 pixels in the spec's channel order or float32 values. Pixels, because
            1,000 images of 224 x 224 have 150 MB so, and 600 MB as floats.
        chosen: indices into `stored`, ascending.
    """

    spec: PreprocessingSpec
    stored: NDArray[Any]
    chosen: NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.chosen)

    def __iter__(self) -> Iterator[NDArray[np.float32]]:
        return (self[index] for index in range(len(self)))

    def __getitem__(self, index: int | slice) -> NDArray[np.float32]:
        values = self.stored[self.chosen[index]]
        return values if values.dtype == np.float32 else self.spec.normalize(values)


@dataclass(frozen=True, eq=False)
class RepresentativeDataset:
    """Images that stand for what the model will see.

    Attributes:
        description: such as "128 photographs in DIR" or "128 synthetic images".
        calibration: what ranges are observed on.
        held_out: every fifth image, chosen by the seed, for judging the result; none of fewer than 20 images.
        digests: file name -> sha256 in hex; of synthetic images, of their RGB bytes in order.
        synthetic: whether these are the built-in images.
        skipped: one message for each file that could not be read, its name within the folder first.
    """

    description: str
    calibration: PreparedImages
    held_out: PreparedImages
    digests: dict[str, str]
    skipped: tuple[str, ...] = ()
    synthetic: bool = False

    def to_json(self) -> dict[str, Any]:
        """What a manifest records."""
        return {
            "description": self.description,
            "calibration_images": len(self.calibration),
            "held_out_images": len(self.held_out),
            "held_out": self.names(self.held_out),
            "skipped": list(self.skipped),
            "sha256": self.digests,
        }

    def names(self, images: PreparedImages) -> list[str] | list[int]:
        """The files' names, or places in an array or in the synthetic set."""
        names = list(self.digests)
        one_each = len(names) == len(self.calibration) + len(self.held_out)
        return [names[index] for index in images.chosen] if one_each else images.chosen.tolist()


def _untracked(items: Iterable[T], total: int) -> Iterable[T]:  # noqa: ARG001
    return items


def load_representative(
    source: Path | None, spec: PreprocessingSpec, samples: int, seed: int, track: Track = _untracked
) -> RepresentativeDataset:
    """At most `samples` images of `source`, chosen by `seed` and kept in the source's order.

    Args:
        source: None for synthetic images; a folder of images, searched recursively; or a `.npy` or `.npz` file. An
            array is uint8 (n, height, width, 3) RGB images, preprocessed unless they have the input's size already, or
            float32 (n, height, width, 3) of the input's size and in the range of preprocessed images, taken as such.
            An `.npz` holds one array, or one named "images". Only the chosen images are held in memory.
        spec: the preprocessing.
        samples: at least 1.
        seed: at least 0.
        track: shows progress.

    Raises:
        ImageError: the source does not exist, holds nothing usable, or an argument is out of range.
    """
    if samples < 1 or seed < 0:
        raise ImageError(f"{samples} samples with seed {seed}: must be at least 1, with a seed of at least 0")
    if source is None:
        return _synthetic(spec, samples, seed, track)
    if source.is_dir():
        return _from_folder(source, spec, samples, seed, track)
    if not source.exists():
        raise ImageError(f"{source}: no such file or folder")
    if source.suffix.lower() not in (".npy", ".npz"):
        raise ImageError(f"{source}: must be a folder of images, a .npy or a .npz file")
    return _from_arrays(source, spec, samples, seed, track)


def _synthetic(spec: PreprocessingSpec, samples: int, seed: int, track: Track) -> RepresentativeDataset:
    images = synthetic_images(samples, seed, (spec.height, spec.width))
    pixels = np.empty((samples, spec.height, spec.width, 3), np.uint8)
    digest = hashlib.sha256()
    for index, image in enumerate(track(images, samples)):
        pixels[index] = spec.order_channels(image)
        digest.update(image.tobytes())
    dataset = _split(f"{samples} synthetic images", spec, pixels, seed, {"synthetic images": digest.hexdigest()})
    return dataclasses.replace(dataset, synthetic=True)


def _from_folder(folder: Path, spec: PreprocessingSpec, samples: int, seed: int, track: Track) -> RepresentativeDataset:
    found = find_images(folder)
    paths = [found[index] for index in _choose(len(found), samples, seed, _SAMPLING)]
    pixels = np.empty((len(paths), spec.height, spec.width, 3), np.uint8)
    digests: dict[str, str] = {}
    skipped: list[str] = []
    with ThreadPoolExecutor(DECODING_THREADS) as threads:
        prepared = threads.map(partial(_prepare, spec), paths)
        for path, result in zip(paths, track(prepared, len(paths)), strict=True):
            if isinstance(result, str):
                skipped.append(f"{path.relative_to(folder).as_posix()}: {result}")
                continue
            pixels[len(digests)], digests[path.relative_to(folder).as_posix()] = result
    if not digests:
        raise ImageError(f"{folder}: none of {len(paths)} images can be read; the first: {skipped[0]}")
    description = f"{len(digests)} photographs in {folder.resolve().name}"
    return _split(description, spec, pixels[: len(digests)], seed, digests, tuple(skipped))


def _prepare(spec: PreprocessingSpec, path: Path) -> tuple[NDArray[np.uint8], str] | str:
    """The pixels of one file and its sha256, or why it cannot be used."""
    try:
        return spec.pixels(read_image(path)), _digest(path)
    except ImageError as error:
        return str(error).removeprefix(f"{path}: ")


def _from_arrays(path: Path, spec: PreprocessingSpec, samples: int, seed: int, track: Track) -> RepresentativeDataset:
    try:
        with _open_array(path) as stream:
            (total, *image_shape), dtype = _read_header(stream, spec)
            chosen = _choose(total, samples, seed, _SAMPLING)
            start, size = stream.tell(), math.prod(image_shape) * dtype.itemsize
            stored = np.empty((len(chosen), spec.height, spec.width, 3), dtype)
            for position, index in enumerate(track(chosen.tolist(), len(chosen))):
                stream.seek(start + index * size)
                content = stream.read(size)
                if len(content) < size:
                    raise ImageError(f"ends within image {index} of {total}")
                stored[position] = _prepare_array(np.frombuffer(content, dtype).reshape(image_shape), spec, index)
        digests = {path.name: _digest(path)}
    except ImageError as error:
        raise ImageError(f"{path}: {error}") from error
    except Exception as error:  # numpy's and zipfile's readers raise a dozen types on damaged files
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ImageError(f"{path}: cannot read this array: {reason}") from error
    return _split(f"{len(stored)} images of {path.name}", spec, stored, seed, digests)


@contextmanager
def _open_array(path: Path) -> Iterator[IO[bytes]]:
    """The bytes of a `.npy` file, or of the array to use in an `.npz`."""
    if path.suffix.lower() == ".npy":
        with path.open("rb") as stream:
            yield stream
        return
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        name = names[0] if len(names) == 1 else "images.npy"
        if name not in names:
            found = ", ".join(names[:5]) or "none"
            raise ImageError(f'must hold one array, or one named "images": it holds {len(names)} ({found})')
        with archive.open(name) as stream:
            yield stream


def _read_header(stream: IO[bytes], spec: PreprocessingSpec) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and type of the array that follows; nothing is allocated by them before they are checked."""
    version = np.lib.format.read_magic(stream)
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version not in readers:
        raise ImageError(f"version {version} of the format: must be 1.0 or 2.0")
    shape, fortran_order, dtype = readers[version](stream)
    images = len(shape) == 4 and shape[3] == 3 and min(shape) >= 1 and shape[0] <= MAXIMUM_ARRAY_IMAGES
    typed = dtype == np.uint8 or (dtype == np.float32 and shape[1:3] == (spec.height, spec.width))
    if not (images and typed) or math.prod(shape[1:3]) > MAXIMUM_PIXELS or fortran_order:
        raise ImageError(
            f"{dtype} array of shape {shape}{' in Fortran order' if fortran_order else ''}: must be C-ordered uint8 "
            f"(n, height, width, 3) or float32 (n, {spec.height}, {spec.width}, 3), n at most {MAXIMUM_ARRAY_IMAGES:,}"
        )
    return shape, dtype


def _prepare_array(image: NDArray[Any], spec: PreprocessingSpec, index: int) -> NDArray[Any]:
    if image.dtype == np.uint8:
        same = image.shape == (spec.height, spec.width, 3)
        return spec.order_channels(image) if same else spec.pixels(Image.fromarray(image))
    low, high = spec.value_range
    margin = (high - low) / 2  # resizing in floating point overshoots, by less than this
    if not low - margin <= image.min() <= image.max() <= high + margin:  # false for NaN too
        raise ImageError(
            f"image {index} has values {image.min():.4g} to {image.max():.4g}: "
            f"preprocessed images lie in {low:.4g} to {high:.4g}"
        )
    return image


def _split(
    description: str,
    spec: PreprocessingSpec,
    stored: NDArray[Any],
    seed: int,
    digests: dict[str, str],
    skipped: tuple[str, ...] = (),
) -> RepresentativeDataset:
    count = len(stored)
    held_out = _choose(count, count // HELD_OUT_ONE_IN if count >= FEWEST_TO_SPLIT else 0, seed, _HOLDING_OUT)
    calibration = np.setdiff1d(np.arange(count), held_out)
    return RepresentativeDataset(
        description,
        PreparedImages(spec, stored, calibration),
        PreparedImages(spec, stored, held_out),
        digests,
        skipped,
    )


def _choose(total: int, count: int, seed: int, purpose: int) -> NDArray[np.intp]:
    """`count` of `total` indices without replacement, ascending; the same for a seed with every numpy."""
    keys = np.random.PCG64([seed, purpose]).random_raw(total)
    return np.sort(np.argsort(keys, kind="stable")[:count])


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
