"""`lite-toolkit edgetpu`."""

from collections.abc import Iterable, Sequence

from lite_toolkit.cli.console import print_facts, print_notes, print_table
from lite_toolkit.edgetpu.compilation import Compilation, Result
from lite_toolkit.edgetpu.compiled import Compiled
from lite_toolkit.edgetpu.executable import Executable
from lite_toolkit.edgetpu.forecast import DEFAULT_RUNTIME, Forecast, OperatorForecast
from lite_toolkit.edgetpu.parameters import ASSUMPTION
from lite_toolkit.edgetpu.rules import StatusCount
from lite_toolkit.reports import figures

_INTERFACES = {"usb2": "USB 2", "usb3": "USB 3", "pcie": "PCIe"}


def show_check(found: Forecast | Compiled) -> None:
    """The same for people."""
    if isinstance(found, Compiled):
        show_compiled(found)
    else:
        show_forecast(found)


def show_compilation(found: Compilation) -> None:
    """What the compiler did with each model, and where the forecast was wrong; without one, the forecasts."""
    if found.compiler:
        print_facts([("compiler", f"edgetpu_compiler {found.compiler.version}")])
    for model in found.models:
        if model.result:
            _show_result(model.result)
        else:
            show_forecast(model.forecast)
    print_notes(*(found.compiler.other if found.compiler else ()))


def _show_result(found: Result) -> None:
    for file in found.files:
        show_compiled(file)
    for section in found.logs:
        print_statuses(section.statuses)
    forecast = "; ".join(found.differences) or "as it came: operators on the CPU, and bytes of parameters"
    print_facts([("forecast", forecast)])


def show_forecast(found: Forecast) -> None:
    """The summary, the operators on the CPU, the layers that the chip may not keep, and what is uncertain."""
    part = f", the first of {found.parts} parts that it could take" if found.parts > 1 else ""
    facts = [
        ("file", f"{found.file}, {figures.size(found.size_bytes)}"),
        *(("refused", refusal) for refusal in found.refusals),
        ("operators", f"{found.mapped} of {len(found.operators)} on the Edge TPU{part}, {found.on_cpu} on the CPU"),
        ("parameters", figures.mebibytes(found.parameters_bytes)),
        ("on chip", figures.between(*found.cached_bytes)),
        ("streamed", figures.between(*found.streamed_bytes)),
        *([("streaming", _streaming(found))] if found.streamed_bytes[1] else []),
        ("runtime", f"{DEFAULT_RUNTIME} or later; {found.lowest_runtime} if compiled for it"),
    ]
    print_facts(facts)
    print_statuses(found.statuses)
    rows = [_why(operator) for operator in found.operators if not operator.mapped and operator.reason]
    if rows:
        print_table("On the CPU", ("operator", "output", "why", "what to do"), _grouped(rows))
    layers = [operator for operator in found.operators if operator.residence in ("streamed", "uncertain")]
    if layers:
        columns = (">number", "operator", "output", ">KiB", "parameters")
        print_table("Not surely on the chip", columns, [_layer(operator) for operator in layers])
    notes = [f"uncertain: {text}" for text in found.uncertain]
    print_notes(*notes, *([f"streaming is reckoned at {ASSUMPTION}"] if found.streamed_bytes[1] else []))


def show_compiled(found: Compiled) -> None:
    """The summary of a compiled model, and its executables."""
    on_cpu = ", ".join(f"{name} {count}" for name, count in found.cpu_operators.items())
    facts = [
        ("file", f"{found.file}, {figures.size(found.size_bytes)}, compiled for the Edge TPU"),
        ("on the CPU", on_cpu or "nothing"),
        ("on chip", figures.mebibytes(found.cached_bytes)),
        ("streamed", figures.mebibytes(found.streamed_bytes)),
        ("runtime", f"{found.minimum_runtime} or later" if found.minimum_runtime else "none needed"),
    ]
    print_facts(facts)
    executables = [executable for package in found.packages for executable in package.executables]
    columns = ("executable", ">parameters KiB", ">instructions KiB", ">activations KiB a tile")
    print_table("", columns, [_executable(executable) for executable in executables])


def print_statuses(statuses: Iterable[StatusCount]) -> None:
    """The table of the compiler."""
    rows = [(status.name, str(status.count), status.status) for status in statuses]
    print_table("", ("operator", ">count", "status"), rows)


def _why(operator: OperatorForecast) -> tuple[str, str, str, str]:
    return operator.name, _first_name(operator), operator.reason, operator.remedy


def _grouped(rows: Sequence[tuple[str, str, str, str]]) -> list[tuple[str, str, str, str]]:
    """One row for all operators of a name that have the same trouble, with the output of the first."""
    groups: dict[tuple[str, str, str], list[str]] = {}
    for name, output, reason, remedy in rows:
        groups.setdefault((name, reason, remedy), []).append(output)
    return [
        (name if len(found) == 1 else f"{name} ×{len(found)}", found[0], reason, remedy)
        for (name, reason, remedy), found in groups.items()
    ]


def _layer(operator: OperatorForecast) -> tuple[str, ...]:
    size = figures.decimal(operator.parameters_bytes / 1024)
    return str(operator.index), operator.name, _first_name(operator), size, operator.residence or ""


def _first_name(operator: OperatorForecast) -> str:
    """Of the names that converters join for what they fuse."""
    return operator.output.partition(";")[0]


def _executable(executable: Executable) -> tuple[str, ...]:
    sizes = executable.parameters_bytes, executable.instructions_bytes, executable.tile_bytes
    return executable.kind, *(figures.decimal(size / 1024) for size in sizes)


def _streaming(found: Forecast) -> str:
    costs = []
    for key, name in _INTERFACES.items():
        least, most = (figures.decimal(1e3 * seconds) for seconds in found.streaming_seconds(key))
        costs.append(f"{most if least == most else f'{least} to {most}'} ms over {name}")
    return f"{', '.join(costs)}, at every inference"
