"""The representative dataset: the preprocessed images that calibrate a quantized model and then judge it."""

import hashlib
import math
import zipfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lite_toolkit.datasets.synthetic import synthetic_images
from lite_toolkit.documents import sha256
from lite_toolkit.errors import ImageError
from lite_toolkit.images.files import MAXIMUM_PIXELS, find_images, read_image
from lite_toolkit.images.preprocessing import PreprocessingSpec
from lite_toolkit.progress import Steps

T = TypeVar("T")

HELD_OUT_ONE_IN = 5
FEWEST_TO_SPLIT = 20  # of fewer images, none are held out of calibration
DECODING_THREADS = 2  # Pillow decodes and resizes without the GIL; more threads hold more decoded photographs at once
DECODED_AHEAD = 8  # images that wait for whoever goes through them
MAXIMUM_ARRAY_IMAGES = 1_000_000  # the header of an array is not to be trusted, and the choice needs 8 bytes for each
_SAMPLING, _HOLDING_OUT = 1, 2  # the two choices must be independent, so each has a stream of its own


@dataclass(frozen=True, eq=False)
class PreparedImages(Sequence[NDArray[np.float32]]):
    """Preprocessed images: an index gives float32 (height, width, channels), a slice (n, height, width, channels).

    Attributes:
        spec: normalises what is stored as pixels.
        stored: (any, height, width, channels), uint8 pixels in the spec's channel order or float32 values. Pixels,
            because 1,000 images of 224 x 224 have 150 MB so, and 600 MB as floats.
        chosen: indices into `stored`, ascending.
    """

    spec: PreprocessingSpec
    stored: NDArray[Any]
    chosen: NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.chosen)

    def __getitem__(self, index: int | slice) -> NDArray[np.float32]:  # type: ignore[override]  # a slice is a batch
        return _normalised(self.spec, self.stored[self.chosen[index]])


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


@dataclass(frozen=True, eq=False)
class Images:
    """Images of a source, each prepared when it is asked for, so that few are held in memory.

    Attributes:
        spec: of the preprocessing.
        title: what they are, such as "photographs in DIR".
        total: how many are tried.
        prepared: the name of each and its uint8 pixels or float32 values, (height, width, channels); None instead of
            one that cannot be read. They can be gone through once.
        digests, skipped: as those of `RepresentativeDataset`; they fill while the images are gone through.
    """

    spec: PreprocessingSpec
    title: str
    total: int
    prepared: Iterator[tuple[str, NDArray[Any] | None]]
    digests: dict[str, str]
    skipped: list[str]

    def normalised(self, steps: Steps) -> Iterator[tuple[str, NDArray[np.float32]]]:
        """The name of each image that can be read, and its float32 (height, width, channels)."""
        for name, stored in steps.track(self.prepared, self.total):
            if stored is not None:
                yield name, _normalised(self.spec, stored)


def load_representative(
    source: Path | None, spec: PreprocessingSpec, samples: int, seed: int, steps: Steps | None = None
) -> RepresentativeDataset:
    """At most `samples` images of `source`, in memory; the arguments and errors are those of `read`."""
    images = read(source, spec, samples, seed)
    stored, count = np.empty(0), 0
    for _, image in (steps or Steps()).track(images.prepared, images.total):
        if image is not None:
            stored = stored if count else np.empty((images.total, *image.shape), image.dtype)
            stored[count] = image
            count += 1
    return _split(images, stored[:count], seed, source is None)


def read(source: Path | None, spec: PreprocessingSpec, samples: int = MAXIMUM_ARRAY_IMAGES, seed: int = 0) -> Images:
    """At most `samples` images of `source`, chosen by `seed` and kept in the source's order.

    Args:
        source: None for synthetic images; a folder of images, searched recursively; or a `.npy` or `.npz` file. An
            array is uint8 (n, height, width, 3) RGB images, preprocessed unless they have the input's size already, or
            float32 (n, height, width, channels) of the input's size and in the range of preprocessed images, taken as
            such. Grey images may be (n, height, width) or (n, height, width, 1), for an input of one channel.
            An `.npz` holds one array, or one named "images".
        spec: the preprocessing.
        samples: at least 1.
        seed: at least 0.

    Raises:
        ImageError: the source does not exist, holds nothing usable, or an argument is out of range; what is only seen
            in the images is raised while they are gone through.
    """
    if samples < 1 or seed < 0:
        raise ImageError(f"{samples} samples with seed {seed}: must be at least 1, with a seed of at least 0")
    if source is None:
        return _synthetic(spec, samples, seed)
    if source.is_dir():
        return _from_folder(source, spec, samples, seed)
    if not source.exists():
        raise ImageError(f"{source}: no such file or folder")
    if source.suffix.lower() not in (".npy", ".npz"):
        raise ImageError(f"{source}: must be a folder of images, a .npy or a .npz file")
    return _from_array(source, spec, samples, seed)


def _synthetic(spec: PreprocessingSpec, samples: int, seed: int) -> Images:
    digests: dict[str, str] = {}

    def prepared() -> Iterator[tuple[str, NDArray[Any]]]:
        digest = hashlib.sha256()
        for index, image in enumerate(synthetic_images(samples, seed, (spec.height, spec.width))):
            digest.update(image.tobytes())
            yield f"synthetic image {index}", spec.order_channels(image)
        digests["synthetic images"] = digest.hexdigest()

    return Images(spec, "synthetic images", samples, prepared(), digests, [])


def _from_folder(folder: Path, spec: PreprocessingSpec, samples: int, seed: int) -> Images:
    found = find_images(folder)
    paths = [found[index] for index in _choose(len(found), samples, seed, _SAMPLING)]
    digests: dict[str, str] = {}
    skipped: list[str] = []

    def prepared() -> Iterator[tuple[str, NDArray[Any] | None]]:
        for path, result in zip(paths, _ahead(partial(_prepare, spec), paths), strict=True):
            name = path.relative_to(folder).as_posix()
            if isinstance(result, str):
                skipped.append(f"{name}: {result}")
                yield name, None
            else:
                pixels, digests[name] = result
                yield name, pixels
        if not digests:
            raise ImageError(f"{folder}: none of {len(paths)} images can be read; the first: {skipped[0]}")

    return Images(spec, f"photographs in {folder.resolve().name}", len(paths), prepared(), digests, skipped)


def _ahead(function: Callable[[Path], T], paths: Iterable[Path]) -> Iterator[T]:
    """The results in order, of which a few are made ahead: `Executor.map` would make and hold all of them."""
    with ThreadPoolExecutor(DECODING_THREADS) as threads:
        waiting: deque[Future[T]] = deque()
        for path in paths:
            waiting.append(threads.submit(function, path))
            if len(waiting) > DECODED_AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _prepare(spec: PreprocessingSpec, path: Path) -> tuple[NDArray[np.uint8], str] | str:
    """The pixels of one file and its sha256, or why it cannot be used."""
    try:
        return spec.pixels(read_image(path)), sha256(path)
    except ImageError as error:
        return str(error).removeprefix(f"{path}: ")


def _from_array(path: Path, spec: PreprocessingSpec, samples: int, seed: int) -> Images:
    with _open_array(path) as stream:
        (total, *image_shape), dtype = _read_header(stream, spec)
        start, size = stream.tell(), math.prod(image_shape) * dtype.itemsize
    chosen = _choose(total, samples, seed, _SAMPLING)

    def prepared() -> Iterator[tuple[str, NDArray[Any]]]:
        with _open_array(path) as stream:
            for index in chosen.tolist():
                stream.seek(start + index * size)
                content = stream.read(size)
                if len(content) < size:
                    raise ImageError(f"ends within image {index} of {total}")
                image = np.frombuffer(content, dtype).reshape(image_shape)
                yield f"image {index} of {path.name}", _prepare_array(image, spec, index)

    return Images(spec, f"images of {path.name}", len(chosen), prepared(), {path.name: sha256(path)}, [])


@contextmanager
def _open_array(path: Path) -> Iterator[IO[bytes]]:
    """The bytes of a `.npy` file, or of the array to use in an `.npz`.

    Raises:
        ImageError: the file, or what is read within, is damaged.
    """
    try:
        if path.suffix.lower() == ".npy":
            with path.open("rb") as stream:
                yield stream
            return
        with zipfile.ZipFile(path) as archive, archive.open(_array_name(archive.namelist())) as stream:
            yield stream
    except ImageError as error:
        raise ImageError(f"{path}: {error}") from error
    except Exception as error:  # numpy's and zipfile's readers raise a dozen types on damaged files
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ImageError(f"{path}: cannot read this array: {reason}") from error


def _array_name(names: list[str]) -> str:
    name = names[0] if len(names) == 1 else "images.npy"
    if name not in names:
        found = ", ".join(names[:5]) or "none"
        raise ImageError(f'must hold one array, or one named "images": it holds {len(names)} ({found})')
    return name


def _read_header(stream: IO[bytes], spec: PreprocessingSpec) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and type of the array that follows; nothing is allocated by them before they are checked."""
    version = np.lib.format.read_magic(stream)
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version not in readers:
        raise ImageError(f"version {version} of the format: must be 1.0 or 2.0")
    found, fortran_order, dtype = readers[version](stream)
    shape = (*found, 1) if len(found) == 3 else found  # grey, as MNIST comes
    images = len(shape) == 4 and min(shape) >= 1 and shape[0] <= MAXIMUM_ARRAY_IMAGES
    images = images and (shape[3] == spec.channels or (shape[3] == 3 and dtype == np.uint8))
    typed = dtype == np.uint8 or (dtype == np.float32 and shape[1:3] == (spec.height, spec.width))
    if not (images and typed) or math.prod(shape[1:3]) > MAXIMUM_PIXELS or fortran_order:
        raise ImageError(
            f"{dtype} array of shape {found}{' in Fortran order' if fortran_order else ''}: must be C-ordered uint8 "
            f"(n, height, width, {spec.channels}) or float32 (n, {', '.join(map(str, spec.shape))}), n at most "
            f"{MAXIMUM_ARRAY_IMAGES:,}"
        )
    return shape, dtype


def _prepare_array(image: NDArray[Any], spec: PreprocessingSpec, index: int) -> NDArray[Any]:
    if image.dtype == np.uint8:
        rgb = np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image
        same = image.shape[:2] == (spec.height, spec.width)
        return spec.order_channels(rgb) if same else spec.pixels(Image.fromarray(rgb))
    low, high = spec.value_range
    margin = (high - low) / 2  # resizing in floating point overshoots, by less than this
    if not low - margin <= image.min() <= image.max() <= high + margin:  # false for NaN too
        raise ImageError(
            f"image {index} has values {image.min():.4g} to {image.max():.4g}: "
            f"preprocessed images lie in {low:.4g} to {high:.4g}"
        )
    return image


def _normalised(spec: PreprocessingSpec, stored: NDArray[Any]) -> NDArray[np.float32]:
    return stored if stored.dtype == np.float32 else spec.normalize(stored)


def _split(images: Images, stored: NDArray[Any], seed: int, synthetic: bool) -> RepresentativeDataset:
    count = len(stored)
    held_out = _choose(count, count // HELD_OUT_ONE_IN if count >= FEWEST_TO_SPLIT else 0, seed, _HOLDING_OUT)
    return RepresentativeDataset(
        f"{count} {images.title}",
        PreparedImages(images.spec, stored, np.setdiff1d(np.arange(count), held_out)),
        PreparedImages(images.spec, stored, held_out),
        images.digests,
        tuple(images.skipped),
        synthetic,
    )


def _choose(total: int, count: int, seed: int, purpose: int) -> NDArray[np.intp]:
    """`count` of `total` indices without replacement, ascending; the same for a seed with every numpy."""
    keys = np.random.PCG64([seed, purpose]).random_raw(total)
    return np.sort(np.argsort(keys, kind="stable")[:count])
