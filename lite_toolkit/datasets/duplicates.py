"""Images that are copies of one another: the same file, or the same picture in another size or compression."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

# Of 244 photographs and of 600 of hands before a wall, copies at a fifth of the size or of JPEG quality 20 lie within
# 0.2 of one another, and at quality 10 within 4 levels; different photographs of one hand are 0.3 apart, others 0.46.
_NEAR, _FAINT = 0.2, 0.3
_LEVELS = 4.0
_BLOCK = 1024  # images that are compared at once with all others


def groups(fingerprints: NDArray[np.uint8], digests: Sequence[str]) -> NDArray[np.intp]:
    """The number of the first image that each image is a copy of, directly or through others; its own if of none.

    Two images are copies where their fingerprints differ by little of their contrast, whatever their size.

    Args:
        fingerprints: (images, values) small pictures of each, as `board.survey.fingerprint` makes them.
        digests: the sha256 of each file.
    """
    first = np.arange(len(digests))
    for one, other in _pairs(fingerprints.astype(np.float32)):
        _join(first, one, other)
    same: dict[str, int] = {}
    for image, digest in enumerate(digests):
        _join(first, same.setdefault(digest, image), image)
    return np.array([_root(first, image) for image in range(len(first))], np.intp)


def _pairs(pictures: NDArray[np.float32]) -> list[tuple[int, int]]:
    contrast = np.maximum(pictures.std(axis=1), _LEVELS)
    squares = (pictures**2).sum(axis=1)
    found: list[tuple[int, int]] = []
    for start in range(0, len(pictures), _BLOCK):
        block = slice(start, start + _BLOCK)
        products = pictures[block] @ pictures.T
        squared = np.maximum(squares[block, np.newaxis] + squares - 2 * products, 0) / pictures.shape[1]
        distance = np.sqrt(squared)
        share = distance / np.maximum(contrast[block, np.newaxis], contrast)
        near = (share <= _NEAR) | ((share <= _FAINT) & (distance <= _LEVELS))
        ones, others = np.nonzero(near)
        found += [
            (one + start, other)
            for one, other in zip(ones.tolist(), others.tolist(), strict=True)
            if one + start < other
        ]
    return found


def _root(first: NDArray[np.intp], image: int) -> int:
    while first[image] != image:
        first[image] = first[first[image]]
        image = int(first[image])
    return image


def _join(first: NDArray[np.intp], one: int, other: int) -> None:
    low, high = sorted((_root(first, one), _root(first, other)))
    first[high] = low
