"""Figures as people read them."""

from collections.abc import Mapping
from typing import Any


def endpoint(tensor: Mapping[str, Any]) -> str:
    """An input or output: name, dtype, shape and quantization."""
    shape = "×".join(map(str, tensor["shape"]))
    scale = tensor.get("scale")
    quantized = f", scale {scale:.8g}, zero point {tensor['zero_point']}" if scale is not None else ""
    return f"{tensor['name']} {tensor['dtype']} {shape}{quantized}"


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
