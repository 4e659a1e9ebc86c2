"""Images for calibration where there are no photographs: "dead leaves" with the statistics of natural images.

Shapes whose areas follow a power law occlude one another as objects do (Lee, Mumford and Huang, "Occlusion models for
natural images", IJCV 2001); their texture is 1/f noise. Everything is integer arithmetic on the raw stream of a bit
generator, so that a seed gives the same bytes on every platform and with every numpy.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int32]
Outline = Callable[[Integers, Integers], NDArray[np.bool_]]

UNIT = 1 << 12  # 1.0 in fixed point: a shape's own coordinates run from -UNIT to UNIT
MAXIMUM_ASPECT = 6  # the square of a coordinate beyond the shape stays below 2**31
OCTAVES = 6


def synthetic_images(count: int, seed: int, size: tuple[int, int]) -> Iterator[NDArray[np.uint8]]:
    """`count` RGB images of `size` (height, width), each uint8 (height, width, 3).

    An image depends on `seed` (0 or more), its index and `size` alone.
    """
    return (synthetic_image(seed, index, size) for index in range(count))


def synthetic_image(seed: int, index: int, size: tuple[int, int]) -> NDArray[np.uint8]:
    """The image at `index` of `synthetic_images`."""
    draw = _Draw(seed, index)
    scene = _Scene(draw, np.zeros((*size, 3), np.int32), _noise(draw, size), draw.between(0, 100))
    scene.paint(_everywhere, (size[0] // 2, size[1] // 2), sum(size), 1)
    smallest = min(size) // draw.between(12, 40) + 1
    area = math.prod(size) * draw.between(1, 3)  # one to three layers of shapes
    while area > 0:
        radius = draw.power_law(smallest, max(size))
        area -= 2 * radius * radius
        centre = draw.between(0, size[0] - 1), draw.between(0, size[1] - 1)
        scene.paint(_OUTLINES[draw.between(0, len(_OUTLINES) - 1)], centre, radius, draw.aspect())
    canvas = scene.canvas
    for _ in range(draw.between(0, 2)):
        canvas = _blur(_blur(canvas).swapaxes(0, 1)).swapaxes(0, 1)
    return _expose(canvas, draw)


class _Draw:
    """Random integers. numpy keeps the raw stream of a bit generator for ever, but not its distributions."""

    def __init__(self, seed: int, index: int) -> None:
        self._bits = np.random.PCG64([seed, index])

    def between(self, low: int, high: int) -> int:
        """From `low` to `high`, both included."""
        return low + int(self._bits.random_raw()) % (high - low + 1)

    def around(self, spread: int) -> int:
        """From -`spread` to `spread`, those near 0 the most likely."""
        return (self.between(-spread, spread) + self.between(-spread, spread)) // 2

    def one_in(self, count: int) -> bool:
        """True once in `count` times."""
        return self.between(1, count) == 1

    def power_law(self, smallest: int, largest: int) -> int:
        """A radius whose density falls as its third power, by the inverse of the distribution function."""
        steps = 1 << 16
        kept = steps - self.between(0, steps - 1) * (largest**2 - smallest**2) // largest**2
        return math.isqrt(smallest**2 * steps // kept)

    def aspect(self) -> int:
        """Length over breadth: half of the shapes are as long as broad."""
        return max(1, self.between(2 - MAXIMUM_ASPECT, MAXIMUM_ASPECT))

    def noise(self, shape: tuple[int, ...]) -> Integers:
        """White noise, -128 to 127."""
        count = math.prod(shape)
        raw = np.asarray(self._bits.random_raw(-(-count // 8))).astype("<u8")  # one byte order on every platform
        return raw.view(np.uint8)[:count].reshape(shape).astype(np.int32) - 128


@dataclass(frozen=True)
class _Scene:
    """A canvas, int32 (height, width, 3), and what its shapes have in common.

    `texture` is 1/f noise of the canvas's size; `saturation` the greatest distance of a colour from grey.
    """

    draw: _Draw
    canvas: Integers
    texture: Integers
    saturation: int

    def paint(self, outline: Outline, centre: tuple[int, int], radius: int, aspect: int) -> None:
        """Fill a shape of half-length `radius` around `centre` (y, x), turned by a random angle."""
        box = tuple(slice(max(0, at - radius), at + radius + 1) for at in centre)
        region = self.canvas[box]
        y, x = (
            np.arange(length, dtype=np.int32) + (part.start - at)
            for length, part, at in zip(region.shape, box, centre, strict=False)
        )
        cosine, sine = self._direction((UNIT << 8) // radius)
        u = (x * cosine + y[:, None] * sine) >> 8
        v = (y[:, None] * cosine - x * sine) * aspect >> 8
        texture = self._patch(u.shape)
        rough = texture * max(0, self.draw.between(-12, 12))  # half of the outlines are smooth
        np.copyto(region, self._fill(u, v, texture), where=outline(u + rough, v)[..., None])

    def _patch(self, shape: tuple[int, ...]) -> Integers:
        """A part of the texture, from a random place."""
        top, left = (self.draw.between(0, whole - part) for whole, part in zip(self.texture.shape, shape, strict=True))
        return self.texture[top : top + shape[0], left : left + shape[1]]

    def _direction(self, length: int) -> tuple[int, int]:
        x, y = self.draw.between(-64, 64), self.draw.between(1, 64)
        norm = math.isqrt(x * x + y * y)
        return length * x // norm, length * y // norm

    def _fill(self, u: Integers, v: Integers, texture: Integers) -> Integers:
        """Colours (height, width, 3) at a shape's own coordinates: one colour, shaded, textured and maybe striped."""
        draw = self.draw
        light = texture * draw.between(0, 48) >> 7
        light += (u * draw.around(96) + v * draw.around(32)) >> 12  # flat, tilted to the light
        light += ((u * u + v * v) >> 12) * draw.around(96) >> 12  # round
        if draw.one_in(6):
            light += _stripes(u * draw.between(1, 16)) * draw.between(8, 64) >> 12
        grey, warm, green = draw.between(0, 255), draw.around(self.saturation), draw.around(self.saturation // 2)
        colour = np.array([grey + warm, grey + green, grey - warm], np.int32)
        return light[..., None] + colour


def _everywhere(u: Integers, v: Integers) -> NDArray[np.bool_]:
    return np.ones(np.broadcast(u, v).shape, np.bool_)


def _ellipse(u: Integers, v: Integers) -> NDArray[np.bool_]:
    return u * u + v * v <= UNIT * UNIT


def _rectangle(u: Integers, v: Integers) -> NDArray[np.bool_]:
    return np.maximum(abs(u), abs(v)) <= UNIT * 7 // 10


def _triangle(u: Integers, v: Integers) -> NDArray[np.bool_]:
    return (2 * abs(u) + v <= UNIT) & (v >= -UNIT // 2)


_OUTLINES: tuple[Outline, ...] = (_ellipse, _ellipse, _rectangle, _rectangle, _triangle)


def _stripes(phase: Integers) -> Integers:
    """A triangle wave of period 2 * UNIT, -UNIT to UNIT."""
    return 2 * abs((phase & (2 * UNIT - 1)) - UNIT) - UNIT


def _noise(draw: _Draw, size: tuple[int, int]) -> Integers:
    """Noise whose amplitude falls as 1/f: each octave adds as much as the one before."""
    coarse_height, coarse_width = (-(-(side - 1) // (1 << OCTAVES)) + 1 for side in size)
    field = draw.noise((coarse_height, coarse_width))
    for _ in range(OCTAVES):
        field = _double(_double(field).T).T
        field += draw.noise(field.shape)
    return field[: size[0], : size[1]]


def _double(field: Integers) -> Integers:
    """n rows become 2n - 1, by linear interpolation."""
    doubled = np.repeat(field, 2, axis=0)[:-1]
    doubled[1::2] = (field[:-1] + field[1:]) >> 1
    return doubled


def _blur(canvas: Integers) -> Integers:
    """The average of each row with its neighbours, weighted 1, 2, 1."""
    blurred = canvas.copy()
    blurred[1:-1] = (canvas[:-2] + 2 * canvas[1:-1] + canvas[2:]) >> 2
    return blurred


def _expose(canvas: Integers, draw: _Draw) -> NDArray[np.uint8]:
    """Contrast, brightness, a tint and grain; one image in eight is very dark or very bright."""
    mean = int(canvas.sum(dtype=np.int64)) // canvas.size
    contrast, brightness = draw.between(80, 400), draw.between(60, 195)
    if draw.one_in(8):
        brightness = 5 if draw.one_in(2) else 250
    tint = np.array([draw.around(24) for _ in range(3)], np.int32)
    grain = draw.noise(canvas.shape) * draw.between(0, 8) >> 7
    exposed = ((canvas - mean) * contrast >> 8) + grain + (brightness + tint)
    return exposed.clip(0, 255).astype(np.uint8)
