"""What metadata says, for `lite-toolkit inspect` and `lite-toolkit metadata show`."""

from collections.abc import Iterator

from lite_toolkit.metadata import Metadata
from lite_toolkit.metadata.values import TEXTS

_SHOWN = 3  # labels of each locale


def facts(found: Metadata) -> Iterator[tuple[str, str]]:
    """Names and values, for people."""
    for name in TEXTS:
        if getattr(found, name):
            yield name, getattr(found, name)
    if found.normalization:
        mean, std = (", ".join(f"{value:g}" for value in values) for values in found.normalization.channels)
        yield "normalization", f"(pixel - mean) / std: mean {mean}; std {std}"
    for locale, names in found.labels.items():
        more = ", ..." if len(names) > _SHOWN else ""
        yield f"labels {locale}".strip(), f"{len(names)}: {', '.join(names[:_SHOWN])}{more}"
    if found.score_threshold is not None:
        yield "score threshold", f"{found.score_threshold:g}"
    if found.score_calibration:
        calibration = found.score_calibration
        yield "score calibration", f"{len(calibration.lines)} classes, {calibration.transformation.lower()}"
