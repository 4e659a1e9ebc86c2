"""What the authors published of each variant; our own figures stand in `benchmarks/results`."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Published:
    """Figures of one variant at its own resolution; None where nothing was published.

    Attributes:
        top1_percent: ImageNet validation accuracy in float32.
        madds_millions: multiply-adds, as the authors count them.
        int8_top1_percent: the same after post-training quantization.
        pixel4_cpu_ms: int8 latency on a Pixel 4, four threads.
        pixel4_edgetpu_ms: int8 latency on the Pixel 4's Edge TPU.
        top5_percent: ImageNet validation accuracy of the first five classes, in float32.
    """

    top1_percent: float
    madds_millions: float | None = None
    int8_top1_percent: float | None = None
    pixel4_cpu_ms: float | None = None
    pixel4_edgetpu_ms: float | None = None
    top5_percent: float | None = None


# Lite: README of models/official/efficientnet/lite in the TPU repository. V1: arXiv 1905.11946, table 2.
# EdgeTPU: README of models/official/efficientnet/edgetpu. `efficientnet_*`: timm's model index, of its own weights.
PUBLISHED: dict[str, Published] = {
    "lite0": Published(75.1, 407, 74.4, 6.5, 3.8),
    "lite1": Published(76.7, 631, 75.9, 9.1, 5.4),
    "lite2": Published(77.6, 899, 77.0, 12, 7.9),
    "lite3": Published(79.8, 1440, 79.0, 18, 9.7),
    "lite4": Published(81.5, 2640, 80.2, 30),
    "b0": Published(77.1, 390),
    "b1": Published(79.1, 700),
    "b2": Published(80.1, 1000),
    "b3": Published(81.6, 1800),
    "b4": Published(82.9, 4200),
    "b5": Published(83.6, 9900),
    "b6": Published(84.0, 19000),
    "b7": Published(84.3, 37000),
    "es": Published(77.23),
    "em": Published(78.69),
    "el": Published(80.62),
    "efficientnet_b0": Published(77.71, top5_percent=93.52),
    "efficientnet_b1": Published(78.71, top5_percent=94.15),
    "efficientnet_b2": Published(80.38, top5_percent=95.08),
    "efficientnet_b2a": Published(80.61, top5_percent=95.32),
    "efficientnet_b3": Published(82.08, top5_percent=96.03),
    "efficientnet_b3a": Published(82.25, top5_percent=96.11),
    "efficientnet_em": Published(79.26, top5_percent=94.79),
    "efficientnet_es": Published(78.09, top5_percent=93.93),
    "efficientnet_lite0": Published(75.5, top5_percent=92.51),
}
