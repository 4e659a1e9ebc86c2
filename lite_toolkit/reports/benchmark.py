"""What `benchmark` measured, as documents."""

from dataclasses import dataclass

from lite_toolkit.measurement import benchmark
from lite_toolkit.measurement.latency import Environment, Measurement, Profile
from lite_toolkit.reports.devices import OfDevice, Several


@dataclass(frozen=True)
class Benchmark(OfDevice):
    """All that was measured on one device, by its name."""

    KIND = "benchmark"

    environment: Environment
    measurements: tuple[Measurement, ...]
    profiles: tuple[Profile, ...]

    @classmethod
    def of(cls, device: str, found: benchmark.Benchmark) -> "Benchmark":
        """What was measured on a device of that name."""
        return cls(device, found.environment, found.measurements, found.profiles)


@dataclass(frozen=True)
class Benchmarks(Several):
    """Those of several devices."""

    KIND = "benchmark-devices"

    devices: tuple[Benchmark, ...]
