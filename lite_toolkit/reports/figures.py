"""Figures as people read them."""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # `variants` shows figures and must not wait for numpy
    from lite_toolkit.measurement.latency import Second
    from lite_toolkit.measurement.loss import LayerError
    from lite_toolkit.tflite.inspection import Endpoint

# What `layer` tells; ">" begins the name of a column of numbers.
LAYER = ("layer", "operator", ">SQNR dB", ">own SQNR dB", ">drop dB", ">bias %", ">slope", ">saturated %")


def layer(found: "LayerError") -> tuple[str, ...]:
    """The error of a layer, as a row of `LAYER`."""
    figures = (found.sqnr_db, found.own_sqnr_db, found.drop_db, found.bias_percent)
    ranges = decimal(found.slope, 3), decimal(found.saturated_percent, 3)
    return found.name, found.operator, *map(decimal, figures), *ranges


def tenths(seconds: "Sequence[Second]") -> "list[Sequence[Second]]":
    """Sustained runs in ten parts of equal time, or in fewer."""
    step = -(-len(seconds) // 10)
    return [seconds[start : start + step] for start in range(0, len(seconds), step or 1)]


def clock_and_heat(seconds: "Sequence[Second]") -> tuple[str, str]:
    """The mean frequency in MHz, and the highest temperature in °C."""
    frequencies = [one.frequency_mhz for one in seconds if one.frequency_mhz is not None]
    temperatures = [one.hottest_celsius for one in seconds if one.hottest_celsius is not None]
    return decimal(fmean(frequencies) if frequencies else None, 0), decimal(max(temperatures, default=None))


def share(part_ms: float, total_ms: float) -> tuple[str, str]:
    """Milliseconds, and their part of a total."""
    return milliseconds(part_ms), f"{part_ms / (total_ms or 1):.1%}"


def endpoint(tensor: "Endpoint") -> str:
    """An input or output: name, dtype, shape and quantization."""
    shape = "×".join(map(str, tensor.shape))
    quantized = "" if tensor.scale is None else f", scale {tensor.scale:.8g}, zero point {tensor.zero_point}"
    return f"{tensor.name} {tensor.dtype} {shape}{quantized}"


def preprocessing(spec: Mapping[str, Any]) -> str:
    """What is done to an image, from what a `PreprocessingSpec` wrote."""
    crop, fraction = spec["crop"], spec["crop_fraction"]
    part = "the whole image" if crop == "none" else f"the centre, {fraction:.3g} of it ({crop})"
    mean, std = (" ".join(f"{value:g}" for value in dict.fromkeys(spec[name])) for name in ("mean", "std"))
    less = "x" if mean == "0" else f"(x - {mean})"
    values = "0..255" if (mean, std) == ("0", "1") else less if std == "1" else f"{less} / {std}"
    return (
        f"{part}, {spec['interpolation']} to {spec['height']}×{spec['width']}, "
        f"{spec['channel_order'].upper()}, values {values}"
    )


def optional(value: float | None, unit: str = "") -> str:
    """As short as it is exact, or a dash."""
    return "–" if value is None else f"{value:,g}{unit}"


def decimal(value: float | None, digits: int = 1) -> str:
    """With fixed digits, or a dash."""
    return "–" if value is None else f"{round(value, digits) + 0.0:.{digits}f}"  # -0.0 + 0.0 is 0.0


def milliseconds(value: float) -> str:
    """With two digits, or three of less than one."""
    return decimal(value, 2 if value >= 1 else 3)


def millions(count: int, digits: int = 1) -> str:
    """A count of millions."""
    return f"{count / 1e6:,.{digits}f}M"


def size(size_bytes: int) -> str:
    """Bytes, in MB or kB of a million and a thousand."""
    return f"{size_bytes / 1e6:.2f} MB" if size_bytes >= 100_000 else f"{size_bytes / 1e3:.1f} kB"


def between(least_bytes: int, most_bytes: int) -> str:
    """A range of bytes, or the one figure where both are equal."""
    least, most = mebibytes(least_bytes), mebibytes(most_bytes)
    return least if least_bytes == most_bytes else f"{least} to {most}"


def mebibytes(size_bytes: int) -> str:
    """Bytes as the Edge TPU compiler counts them, in MiB or KiB."""
    return f"{size_bytes / 2**20:.2f} MiB" if size_bytes >= 2**20 else f"{size_bytes / 2**10:.1f} KiB"


def megabytes(size_bytes: int | None, digits: int = 1) -> str:
    """Bytes in millions, or a dash."""
    return decimal(None if size_bytes is None else size_bytes / 1e6, digits)


def steps(seconds: Mapping[str, float]) -> str:
    """How long each step took."""
    return " · ".join(f"{name} {taken:.1f}" for name, taken in seconds.items())
