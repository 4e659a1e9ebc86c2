"""What the commands share: where a report goes, and options that several take."""

import functools
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lite_toolkit import outputs
from lite_toolkit.errors import UsageError
from lite_toolkit.networks import architectures
from lite_toolkit.text import shown

if TYPE_CHECKING:
    from lite_toolkit.images.preprocessing import Sized

FILE = click.Path(dir_okay=False, path_type=Path)
ANY_PATH = click.Path(path_type=Path)
INPUT_SIZE = click.IntRange(min=architectures.MINIMUM_INPUT_SIZE)


class Number(click.FloatRange):
    """A range of numbers; click's own lets "nan" through, which no gate ever meets."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number that was written."""
        number: float = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{value!r} is not a number", param, ctx)
        return number


class Percent(Number):
    """A number of percent, with or without its sign."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number that was written."""
        return super().convert(value.removesuffix("%") if isinstance(value, str) else value, param, ctx)


class Command(click.Command):
    """A command that shows what its function refuses as wrong usage the way click shows what it refuses itself."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except UsageError as error:
            raise click.UsageError(shown(str(error)), ctx) from error


class Group(click.Group):
    """A command whose own commands are of that kind."""

    command_class = Command


@dataclass(frozen=True)
class Delivery:
    """Where a command's report goes: standard output, as text or JSON, and a file."""

    as_json: bool
    file: Path | None
    force: bool

    def send(self, report: Mapping[str, Any], show: Callable[[], None]) -> None:
        """Save the report where asked, and print it as JSON or for people."""
        if self.file:
            outputs.write_json(self.file, report, self.force)
        if self.as_json:
            click.echo(outputs.to_json(report), nl=False)
        else:
            show()


def require_own_place(report: Path, others: Iterable[object]) -> None:
    """Refuse a report that would replace one of the other files of a command, or be replaced by it."""
    for other in others:
        for path in other if isinstance(other, tuple) else (other,):
            if isinstance(path, Path) and path.resolve() == report.resolve():
                raise click.UsageError(
                    f"-o {report} is also read or written as something else: save the report elsewhere"
                )


def reporting(command: Callable[..., None]) -> Callable[..., None]:
    """The options of every command that reports; the command gets them as `delivery`."""

    @click.option("-o", "--report", type=FILE, help="Save the report as JSON to this file.")
    @click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
    @click.option("--force", is_flag=True, help="Replace files that exist.")
    @functools.wraps(command)
    def with_delivery(*, as_json: bool, report: Path | None, force: bool, **options: Any) -> None:
        if report:
            require_own_place(report, options.values())
            outputs.require_free([report], force)
        command(delivery=Delivery(as_json, report, force), **options)

    return with_delivery


def on_devices(command: Callable[..., None]) -> Callable[..., None]:
    """The option of commands that run on devices; the command gets its values as `device`."""
    return click.option(
        "--device",
        metavar="NAME|FILE.toml|ssh://HOST",
        multiple=True,
        help="Where to run, see `lite-toolkit devices`; by default here. Several run side by side.",
    )(command)


def delegation(command: Callable[..., None]) -> Callable[..., None]:
    """The options that choose a delegate; the command gets them as `delegate`, perhaps None, and `delegate_options`."""

    @click.option(
        "--delegate",
        metavar="NAME|LIBRARY",
        help="xnnpack, none, edgetpu[:usb|:pci|:N] or the path of a delegate's library; by default the device's own.",
    )
    @click.option("--delegate-option", "pairs", metavar="KEY=VALUE", multiple=True, help="For a delegate's library.")
    @functools.wraps(command)
    def with_delegate(*, pairs: tuple[str, ...], **options: Any) -> None:
        for pair in pairs:
            if not pair.partition("=")[0] or "=" not in pair:
                raise click.BadParameter(f"{pair!r} is not KEY=VALUE", param_hint="--delegate-option")
        command(delegate_options=dict(pair.split("=", 1) for pair in pairs), **options)

    return with_delegate


def sized(name: str | None) -> "Sized | None":
    """The preprocessing that `--preprocessing` names."""
    from lite_toolkit.weights.configurations import named

    return named(name) if name else None
