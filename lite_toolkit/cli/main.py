"""The command line: the commands, and how they end."""

from typing import Any

import click

from lite_toolkit.cli import interrupts
from lite_toolkit.cli.commands import (
    benchmark,
    classify,
    compare,
    convert,
    data,
    devices,
    edgetpu,
    evaluate,
    inspect,
    metadata,
    networks,
    package,
    report,
    validate,
    verify,
)
from lite_toolkit.errors import LiteToolkitError, OutputError
from lite_toolkit.text import shown
from lite_toolkit.version import __version__


class _Commands(click.Group):
    """Turns every expected failure into one line and an exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        with interrupts.noticed() as came:
            try:
                return self._invoke(ctx)
            except BaseException:
                if not came:
                    raise
        click.echo("interrupted", err=True)
        raise click.exceptions.Exit(interrupts.INTERRUPTED)

    def _invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except LiteToolkitError as error:
            raise _Failure(str(error), error.exit_code) from error
        except BrokenPipeError:
            raise  # `lite-toolkit variants | head`: click ends quietly
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            raise _Failure(f"{where}{error.strerror or error}", OutputError.exit_code) from error


class _Failure(click.ClickException):
    """One line on standard error, and an exit code."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(shown(message))
        self.exit_code = exit_code  # type: ignore[misc]  # click declares it for the class, and reads it from here


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="lite-toolkit")
def main() -> None:
    """EfficientNet-Lite from weights to a verified .tflite on a device."""


for command in (
    *(networks.variants, networks.describe, convert.convert, inspect.inspect, data.data, classify.classify),
    *(validate.validate, evaluate.evaluate, benchmark.benchmark, compare.compare, report.report),
    *(devices.devices, devices.doctor, package.package, verify.verify, metadata.metadata, edgetpu.edgetpu),
):
    main.add_command(command)
