"""Images that are copies of one another: the same file, or the same picture in another size or compression."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

# Of 244 photographs and of 600 of hands before a wall, copies at a fifth of the size or of JPEG quality 20 lie within
# 0.2 of one another, and at quality 10 within 4 levels; different photographs of one hand are 0.3 apart, others 0.46.
_NEAR, _FAINT = 0.2, 0.3
_LEVELS = 4.0
_BLOCK = 128  # images that are compared at once with all others: 50 MB for each 100,000 of these


def groups(fingerprints: NDArray[np.uint8], digests: Sequence[str]) -> NDArray[np.intp]:
    """The number of the first image that each image is a copy of, directly or through others; its own if of none.

    Two images are copies where their fingerprints differ by little of their contrast, whatever their size.

    Args:
        fingerprints: (images, values) small pictures of each, as `board.survey.fingerprint` makes them.
        digests: the sha256 of each file.
    """
    numbers: dict[str, int] = {}
    first = np.array([numbers.setdefault(digest, image) for image, digest in enumerate(digests)], np.intp)
    for alike in _alike(fingerprints.astype(np.float32)):
        joined = np.unique(first[alike])
        if len(joined) > 1:
            first[np.isin(first, joined)] = joined[0]
    return first


def _alike(pictures: NDArray[np.float32]) -> Iterator[NDArray[np.bool_]]:
    """Which pictures each picture is like: (images,), true of itself."""
    contrast = np.maximum(pictures.std(axis=1), _LEVELS)
    squares = (pictures**2).sum(axis=1)
    for start in range(0, len(pictures), _BLOCK):
        block = slice(start, start + _BLOCK)
        squared = squares[block, np.newaxis] + squares - 2 * pictures[block] @ pictures.T
        distance = np.sqrt(np.maximum(squared, 0) / pictures.shape[1])
        share = distance / np.maximum(contrast[block, np.newaxis], contrast)
        yield from (share <= _NEAR) | ((share <= _FAINT) & (distance <= _LEVELS))
