"""Image files: finding them in a folder, and reading any of them as 8-bit RGB."""

from __future__ import annotations

import os
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import PIL
from PIL import Image

from lite_toolkit.errors import ImageError

MAXIMUM_PIXELS = 89_478_485  # Pillow's own threshold for a decompression bomb: 256 MiB of RGB

# EPS and WMF run an interpreter on the file; the others are stubs without a decoder.
_REFUSED_FORMATS = {"BUFR", "EPS", "GRIB", "HDF5", "MPEG", "WMF"}
# What Pillow warns of, such as odd EXIF, concerns nobody here; decoding in threads allows no filter around each image.
warnings.filterwarnings("ignore", module=r"PIL\b")

# Of cameras and phones, which Pillow reads with a plugin only, or not at all.
_HEIC = {".heic", ".heif", ".hif"}
_PHOTOGRAPHS = _HEIC | {".avif", ".jxl", ".cr2", ".cr3", ".nef", ".arw", ".dng", ".orf", ".raf", ".rw2"}
_NOT_ENTERED = {"@eaDir", "__MACOSX", "#recycle", "$RECYCLE.BIN", "lost+found"}  # made by systems, not by people
_UNIDENTIFIED: Any = getattr(PIL, "UnidentifiedImageError", ())  # Pillow before 7 raises OSError instead
_ORIENTATION_TAG = 0x0112
_TRANSPOSE: Any = getattr(Image, "Transpose", Image)  # Pillow before 9.1 has the names in the module
_ORIENTATIONS = {
    2: _TRANSPOSE.FLIP_LEFT_RIGHT,
    3: _TRANSPOSE.ROTATE_180,
    4: _TRANSPOSE.FLIP_TOP_BOTTOM,
    5: _TRANSPOSE.TRANSPOSE,
    6: _TRANSPOSE.ROTATE_270,
    7: _TRANSPOSE.TRANSVERSE,
    8: _TRANSPOSE.ROTATE_90,
}


def extensions() -> list[str]:
    """The file extensions, in lower case with their dot, that this Pillow reads as images."""
    Image.init()
    return _loaded_extensions()


def _loaded_extensions() -> list[str]:
    """Those of the formats whose modules Pillow has loaded so far."""
    known = Image.EXTENSION.items()
    return sorted(extension for extension, name in known if name in Image.OPEN and name not in _REFUSED_FORMATS)


def _image_suffixes(found: set[str]) -> set[str]:
    """Which of the suffixes of files are images'; the modules of rare formats take 20 ms, and are often not needed."""
    Image.preinit()
    if found & _HEIC:
        _register_heic()
    return found if found <= set(_loaded_extensions()) else found & set(extensions())


def _register_heic() -> bool:
    """Make Pillow read HEIC, if pillow-heif is installed."""
    try:
        import pillow_heif
    except ImportError:
        return False
    pillow_heif.register_heif_opener()
    return True


def find_images(folder: Path | str) -> list[Path]:
    """Every image file in `folder` and below, by extension, in any case; hidden files and folders are left out,
    and those that systems make, such as a NAS's thumbnails.

    The order is that of the relative POSIX paths, the same on every platform. Symbolic links are followed, each folder
    once.

    Raises:
        ImageError: `folder` is not a folder, cannot be listed, or holds no image.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ImageError(f"{folder}: {'must be a folder of images' if folder.exists() else 'no such folder'}")
    files = _walk(folder)
    allowed = _image_suffixes({path.suffix.lower() for path in files})
    found = [path for path in files if path.suffix.lower() in allowed and path.is_file()]
    if not found:
        others = left_out(folder)
        raise ImageError(
            f"{folder}: no image in this folder: must hold .jpg, .png, .webp, .bmp or other files that Pillow reads"
            + (f"; {others}" if others else "")
        )
    return sorted(found, key=lambda path: path.relative_to(folder).as_posix())


def left_out(folder: Path | str) -> str | None:
    """How many images in `folder` and below `find_images` cannot give, in one sentence, or None: files of cameras that
    Pillow does not read, and images without suffix.
    """
    files = _walk(Path(folder))
    allowed = _image_suffixes({path.suffix.lower() for path in files})
    suffixes = Counter(path.suffix.lower() for path in files if path.suffix.lower() in _PHOTOGRAPHS - allowed)
    told = [f"{count} {suffix}" for suffix, count in sorted(suffixes.items())]
    nameless = sum(not path.suffix and _is_image(path) for path in files)
    told += [f"{nameless} without suffix"] if nameless else []
    if not told:
        return None
    hint = ": pip install pillow-heif" if _HEIC & set(suffixes) else ": give them a suffix" if nameless else ""
    return f"left out of {Path(folder).name}, since they cannot be read as images: {', '.join(told)}{hint}"


def _is_image(path: Path) -> bool:
    try:
        with path.open("rb") as file, Image.open(file) as image:
            return image.format not in _REFUSED_FORMATS
    except Exception:  # noqa: BLE001  # as in `read_image`
        return False


def read_image(path: Path | str) -> Image.Image:
    """The image in a file as 8-bit RGB, upright as its EXIF orientation says.

    Alpha is dropped, not blended, as training pipelines do. Of 16-bit samples the high byte is kept. Of an animation
    the first frame is read.

    Raises:
        ImageError: the file is missing, not an image, damaged, larger than `MAXIMUM_PIXELS`, or has samples without a
            known range (32-bit integers or floats).
    """
    path = Path(path)
    if not path.is_file():
        raise ImageError(f"{path}: {'must be an image file' if path.exists() else 'no such file'}")
    heic = path.suffix.lower() in _HEIC
    registered = heic and _register_heic()
    try:
        with path.open("rb") as file:  # an image opened by its path, Pillow before 6 would close with the file
            return _decode(Image.open(file))
    except _UNIDENTIFIED as error:
        hint = ": pip install pillow-heif" if heic and not registered else ""
        raise ImageError(f"{path}: not an image that Pillow reads{hint}") from error
    except Exception as error:  # decoders raise SyntaxError, struct.error, IndexError and more on damaged files
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ImageError(f"{path}: cannot read this image: {reason}") from error


def _decode(image: Image.Image) -> Image.Image:
    if image.format in _REFUSED_FORMATS:
        raise ImageError(f"not an image of pixels, but {image.format}")
    if image.width * image.height > MAXIMUM_PIXELS:
        raise ImageError(f"{image.width}x{image.height} pixels: at most {MAXIMUM_PIXELS:,} are allowed")
    image.load()
    turn = _ORIENTATIONS.get(_orientation(image))
    rgb = _to_rgb(image)
    return rgb if turn is None else rgb.transpose(turn)


def _orientation(image: Image.Image) -> Any:
    if image.format == "TIFF":
        return 1  # Pillow turns TIFF upright itself while loading, and versions before 10.1 leave the tag there
    read: Any = getattr(image, "getexif", None) or getattr(image, "_getexif", dict)  # before Pillow 6, for JPEG alone
    return (read() or {}).get(_ORIENTATION_TAG, 1)


def _to_rgb(image: Image.Image) -> Image.Image:
    # Pillow before 11 opens 16-bit grey PNG in mode "I"; the modes of PGM with more than 8 bits still are "I".
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PNG", "PPM")):
        # Pillow's own conversion clips to 255 instead of scaling.
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise ImageError(f"samples of mode {image.mode!r} have no known range: must be 8 or 16 bits")
    # Without it the conversion drops a palette's alpha all the same, and warns.
    image.info.pop("transparency", None)
    return image if image.mode == "RGB" else image.convert("RGB")  # a conversion to the same mode copies


def _walk(folder: Path) -> list[Path]:
    """Every file below `folder` that is not hidden; a folder that links lead back to is entered once."""
    files: list[Path] = []
    entered: set[str] = set()
    for parent, folders, names in os.walk(folder, onerror=_refuse, followlinks=True):
        real = os.path.realpath(parent)
        kept = sorted(name for name in folders if not name.startswith(".") and name not in _NOT_ENTERED)
        folders[:] = kept if real not in entered else []
        if real not in entered:
            files += [Path(parent, name) for name in names if not name.startswith(".")]
        entered.add(real)
    return files


def _refuse(error: OSError) -> None:
    raise ImageError(f"{error.filename}: cannot list this folder: {error.strerror}") from error
