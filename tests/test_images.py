"""Reading any image file as RGB, and finding the image files of a folder."""

import os
import struct
import subprocess
import sys
import types
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile

from lite_toolkit.errors import ImageError
from lite_toolkit.images.files import MAXIMUM_PIXELS, extensions, find_images, left_out, read_image

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def save(image, path, **options):
    image.save(path, **options)
    return path


def colours(path):
    """What `read_image` gives, as an array; it must be RGB."""
    image = read_image(path)
    assert image.mode == "RGB"
    return np.asarray(image)


def png(path, bit_depth, colour_type, width, height, data):
    """A PNG from raw scanline bytes: Pillow writes some kinds only in newer versions."""

    def chunk(name, content):
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", width, height, bit_depth, colour_type, 0, 0, 0)
    content = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + content)
    return path


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (Image.new("L", (2, 2), 77), (77, 77, 77)),
        (Image.new("1", (2, 2), 1), WHITE),
        (Image.new("LA", (2, 2), (77, 10)), (77, 77, 77)),
        (Image.new("RGB", (2, 2), (1, 2, 3)), (1, 2, 3)),
        (Image.new("RGBA", (2, 2), (1, 2, 3, 0)), (1, 2, 3)),
        (Image.new("RGB", (2, 2), RED).convert("P", palette=Image.Palette.ADAPTIVE), RED),
    ],
    ids=lambda value: getattr(value, "mode", ""),
)
def test_every_8_bit_mode_becomes_rgb_and_alpha_is_dropped(tmp_path, image, expected):
    assert np.all(colours(save(image, tmp_path / "image.png")) == expected)


@pytest.mark.parametrize("transparency", [0, b"\x00\x80"], ids=["one index", "alpha of each index"])
def test_transparency_of_a_palette_is_dropped_without_a_warning(tmp_path, recwarn, transparency):
    image = Image.new("P", (2, 1))
    image.putpalette([*RED, *GREEN])
    image.putdata([0, 1])
    path = save(image, tmp_path / "image.png", transparency=transparency)
    assert colours(path).tolist() == [[list(RED), list(GREEN)]]
    assert not recwarn.list


@pytest.mark.parametrize("name", ["cmyk.jpg", "cmyk.tif"])
def test_cmyk(tmp_path, name):
    # Photoshop's convention, by which Pillow writes and reads JPEG, stores the inks inverted; TIFF does not.
    path = save(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), tmp_path / name)
    assert abs(colours(path).astype(int) - RED).max() <= 3


def test_16_bit_grey_png_keeps_the_high_byte(tmp_path):
    scanline = b"\x00" + struct.pack(">4H", 0, 255, 256, 65535)
    path = png(tmp_path / "grey.png", 16, 0, 4, 1, scanline)
    assert colours(path)[0, :, 0].tolist() == [0, 0, 1, 255]


def test_16_bit_rgb_png_keeps_the_high_bytes(tmp_path):
    path = png(tmp_path / "rgb.png", 16, 2, 1, 1, b"\x00" + struct.pack(">3H", 0x1234, 0x80FF, 0xFFFF))
    assert colours(path)[0, 0].tolist() == [0x12, 0x80, 0xFF]


@pytest.mark.parametrize("order", ["<u2", ">u2"])
def test_16_bit_grey_tiff(tmp_path, order):
    values = np.array([[0, 255, 256, 65535]], order)
    path = save(Image.fromarray(values), tmp_path / "grey.tif")
    assert colours(path)[0, :, 0].tolist() == [0, 0, 1, 255]


def test_16_bit_pgm(tmp_path):
    path = tmp_path / "grey.pgm"
    path.write_bytes(b"P5 4 1 65535\n" + struct.pack(">4H", 0, 255, 256, 65535))
    assert colours(path)[0, :, 0].tolist() == [0, 0, 1, 255]


@pytest.mark.parametrize("dtype", [np.int32, np.float32])
def test_samples_of_unknown_range_are_refused(tmp_path, dtype):
    path = save(Image.fromarray(np.ones((2, 2), dtype)), tmp_path / "depth.tif")
    with pytest.raises(ImageError, match=r"depth\.tif: .*no known range: must be 8 or 16 bits"):
        read_image(path)


# EXIF 2.3, tag Orientation: which side of the stored image is the top, and which the left, of the upright one.
@pytest.mark.parametrize(
    ("orientation", "upright"),
    [
        (1, ["RG", "BW"]),
        (2, ["GR", "WB"]),
        (3, ["WB", "GR"]),
        (4, ["BW", "RG"]),
        (5, ["RB", "GW"]),
        (6, ["BR", "WG"]),
        (7, ["WG", "BR"]),
        (8, ["GW", "RB"]),
        (9, ["RG", "BW"]),
    ],
)
@pytest.mark.parametrize("name", ["turned.png", "turned.tif"])
def test_exif_orientation_is_applied_once(tmp_path, name, orientation, upright):
    image = Image.new("RGB", (2, 2))
    image.putdata([RED, GREEN, BLUE, WHITE])
    exif = Image.Exif()
    exif[0x0112] = orientation
    letters = {RED: "R", GREEN: "G", BLUE: "B", WHITE: "W"}
    array = colours(save(image, tmp_path / name, exif=exif))
    assert ["".join(letters[tuple(pixel)] for pixel in row) for row in array.tolist()] == upright


def test_damaged_exif_does_not_hide_the_image(tmp_path):
    path = save(Image.new("RGB", (8, 8), WHITE), tmp_path / "image.jpg", exif=b"Exif\x00\x00not a TIFF header")
    assert np.all(colours(path) == WHITE)


@pytest.mark.parametrize("name", ["animated.gif", "animated.png", "animated.webp"])
def test_the_first_frame_of_an_animation(tmp_path, name):
    frames = [Image.new("RGB", (8, 8), colour) for colour in (BLUE, RED)]
    path = save(frames[0], tmp_path / name, save_all=True, append_images=frames[1:], lossless=True)
    assert np.all(colours(path) == BLUE)


def damaged(folder, kind):
    path = folder / f"{kind}.jpg"
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    if kind == "truncated":
        save(Image.fromarray(noise), path)
        path.write_bytes(path.read_bytes()[:2000])
    elif kind == "empty":
        path.touch()
    elif kind == "text":
        path.write_text("not an image")
    elif kind == "folder":
        path.mkdir()
    elif kind == "bomb":
        png(path, 8, 2, 9_500, 9_500, b"")
    elif kind == "huge bomb":
        png(path, 8, 2, 2**31 - 1, 2**31 - 1, b"")
    elif kind == "postscript":
        path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n")
    return path


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("truncated", "cannot read this image: image file is truncated"),
        ("empty", "not an image"),
        ("text", "not an image"),
        ("missing", "no such file"),
        ("folder", "must be an image file"),
        ("bomb", f"9500x9500 pixels: at most {MAXIMUM_PIXELS:,} are allowed"),
        ("huge bomb", "cannot read this image"),
        ("postscript", "not an image"),
    ],
)
def test_what_cannot_be_read_is_one_line_with_the_path(tmp_path, kind, reason):
    path = damaged(tmp_path, kind)
    with pytest.raises(ImageError) as caught:
        read_image(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


def tree(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def found(folder):
    return [path.relative_to(folder).as_posix() for path in find_images(folder)]


def test_find_images_is_recursive_and_sorted_by_posix_path(tmp_path):
    tree(tmp_path, "b.png", "a/z.jpg", "a-b.gif", "B.WebP", "a/b/c.JPEG", "a.tiff", "notes.txt", "model.h5", "x.eps")
    assert found(tmp_path) == ["B.WebP", "a-b.gif", "a.tiff", "a/b/c.JPEG", "a/z.jpg", "b.png"]


def test_an_image_outlives_its_file(tmp_path, monkeypatch):
    """Pillow before 6, which Mendel Linux has, closes the image where later ones close its file."""
    monkeypatch.setattr(ImageFile.ImageFile, "__exit__", lambda image, *_: Image.Image.close(image))
    Image.new("RGB", (3, 2), (1, 2, 3)).save(tmp_path / "image.png")
    assert read_image(tmp_path / "image.png").getpixel((0, 0)) == (1, 2, 3)


def test_paths_may_be_text(tmp_path):
    Image.new("RGB", (3, 2)).save(tmp_path / "image.png")
    (found,) = find_images(str(tmp_path))
    assert read_image(str(found)).size == (3, 2)
    with pytest.raises(ImageError, match=r"nothing\.jpg: no such file"):
        read_image("nothing.jpg")


def test_find_images_skips_hidden_files_and_what_is_no_file(tmp_path):
    tree(tmp_path, "a.png", ".hidden.png", "._a.png", ".cache/b.png", "a/.git/c.png", "d.png/e.txt")
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "dangling.png").symlink_to("nowhere.png")
    assert found(tmp_path) == ["a.png"]


def test_find_images_enters_each_folder_once_through_links(tmp_path):
    tree(tmp_path, "images/a.png", "elsewhere/b.png")
    (tmp_path / "images/loop").symlink_to(tmp_path / "images")
    (tmp_path / "images/linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "images/other").symlink_to(tmp_path / "elsewhere")
    assert found(tmp_path / "images") == ["a.png", "linked/b.png"]


def test_a_folder_without_images_names_the_extensions(tmp_path):
    tree(tmp_path, "notes.txt")
    with pytest.raises(ImageError) as caught:
        find_images(tmp_path)
    assert str(caught.value).startswith(f"{tmp_path}: no image in this folder")
    assert ".jpg, " in str(caught.value)
    assert ".png, " in str(caught.value)


@pytest.mark.parametrize(("name", "reason"), [("missing", "no such folder"), ("file.png", "must be a folder")])
def test_find_images_needs_a_folder(tmp_path, name, reason):
    tree(tmp_path, "file.png")
    with pytest.raises(ImageError, match=reason):
        find_images(tmp_path / name)


def test_extensions_are_those_of_readable_raster_images():
    assert {".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm"} <= set(extensions())
    assert not {".eps", ".ps", ".wmf", ".emf", ".h5", ".hdf", ".grib", ".mpg", ".pdf"} & set(extensions())


def test_photographs_of_the_shared_set_are_read(request):
    folder = Path(__file__).resolve().parents[1].parent / "shared" / "imagenet" / "calibration"
    if not folder.is_dir():
        pytest.skip("needs the photographs of ../shared/imagenet/calibration")
    paths = find_images(folder)
    assert len(paths) == 128
    assert all(min(read_image(path).size) > 32 for path in paths[:8])


HEADER_OF_HEIC = b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic"


@pytest.fixture
def without_heif(monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)  # its import fails


def test_what_cannot_be_read_is_counted(tmp_path, without_heif):
    save(Image.new("RGB", (2, 2)), tmp_path / "a.png")
    assert left_out(tmp_path) is None
    for name in ("b.heic", "c.HEIC", "d.cr2"):
        (tmp_path / name).write_bytes(HEADER_OF_HEIC)
    (tmp_path / "a.png").with_name("e").write_bytes((tmp_path / "a.png").read_bytes())
    (tmp_path / "README").write_text("no image")
    assert [path.name for path in find_images(tmp_path)] == ["a.png"]
    told = left_out(tmp_path)
    assert "1 .cr2, 2 .heic, 1 without suffix: pip install pillow-heif" in told
    (tmp_path / "a.png").unlink()
    with pytest.raises(ImageError, match=r"no image in this folder.*1 \.cr2, 2 \.heic"):
        find_images(tmp_path)
    with pytest.raises(ImageError, match=r"b\.heic: not an image that Pillow reads: pip install pillow-heif"):
        read_image(tmp_path / "b.heic")


def test_heic_is_read_where_the_plugin_is(tmp_path, monkeypatch):
    """A stand-in for pillow-heif, which registers its decoder when it is asked to."""

    def register():
        Image.register_open("STANDIN", decode, lambda prefix: prefix[4:12] == b"ftypheic")
        Image.register_extension("STANDIN", ".heic")

    def decode(file, name):
        image = Image.new("RGB", (2, 2), RED)
        image.format = "STANDIN"
        return image

    monkeypatch.setitem(sys.modules, "pillow_heif", types.SimpleNamespace(register_heif_opener=register))
    for registry in (Image.OPEN, Image.EXTENSION):
        monkeypatch.setattr(Image, "OPEN" if registry is Image.OPEN else "EXTENSION", dict(registry))
    monkeypatch.setattr(Image, "ID", list(Image.ID))
    (tmp_path / "a.heic").write_bytes(HEADER_OF_HEIC)
    assert find_images(tmp_path) == [tmp_path / "a.heic"]
    assert np.all(colours(tmp_path / "a.heic") == RED)
    assert left_out(tmp_path) is None


@pytest.mark.parametrize("folder", ["@eaDir", "__MACOSX", ".thumbnails", "deep/@eaDir/x"])
def test_folders_that_systems_make_are_not_entered(tmp_path, folder):
    (tmp_path / folder).mkdir(parents=True)
    for path in (tmp_path / "a.png", tmp_path / folder / "a.png"):
        save(Image.new("RGB", (2, 2)), path)
    assert find_images(tmp_path) == [tmp_path / "a.png"]


def test_what_pillow_warns_of_is_not_shown(tmp_path):
    code = (
        "import warnings, lite_toolkit.images.files as f, PIL.Image\n"
        "warnings.warn_explicit('raw', UserWarning, 'PIL/Image.py', 1, module='PIL.Image')\n"
        "warnings.warn_explicit('other', UserWarning, 'x.py', 1, module='others')"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stderr
    assert "other" in told
    assert "raw" not in told
