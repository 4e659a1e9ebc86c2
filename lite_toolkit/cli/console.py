"""What people see: tables on standard output, progress on standard error, neither in anybody's pipe."""

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import click
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from lite_toolkit.progress import Steps
from lite_toolkit.text import visible

T = TypeVar("T")

_PIPE_WIDTH = 10_000  # nothing is wrapped where the output is a file or a pipe


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table; columns of numbers are right-aligned by a leading ">" in their name."""
    heading = _text(title) if title else None
    table = Table(title=heading, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(_text(column.lstrip(">")), justify="right" if column.startswith(">") else "left")
    for row in rows:
        table.add_row(*map(_text, row))
    _print(table)


def print_facts(facts: Iterable[tuple[str, str]]) -> None:
    """Names and values in two columns."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in facts:
        table.add_row(_text(name), _text(value))
    _print(table)


def print_notes(*notes: str) -> None:
    """Sentences below a table, if any."""
    if notes:
        print_facts(("note", note) for note in notes)


def warn(message: str) -> None:
    """One line on standard error."""
    print(f"warning: {visible(message)}", file=sys.stderr)  # noqa: T201


class ShownSteps(Steps):
    """Steps with a spinner or bar while standard error is a terminal."""

    def __init__(self) -> None:
        super().__init__()
        from rich import progress

        class SpeedColumn(progress.ProgressColumn):
            def render(self, task: progress.Task) -> Text:
                return Text("" if task.speed is None else f"{task.speed:.1f}/s")

        # A stream of its own: `streams.quiet` redirects the process's standard error while native code runs.
        stream = os.fdopen(os.dup(2), "w")
        self._progress = progress.Progress(
            progress.SpinnerColumn(),
            progress.TextColumn("{task.description}"),
            progress.BarColumn(),
            progress.MofNCompleteColumn(),
            SpeedColumn(),
            progress.TimeElapsedColumn(),
            progress.TimeRemainingColumn(),
            console=Console(file=stream),
            transient=True,
            disable=not stream.isatty(),
        )
        self._name = ""

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Time the block and show its name."""
        self._name = name
        with super().step(name), self._progress:
            self._task = self._progress.add_task(name, total=None)
            try:
                yield
            finally:
                self._progress.remove_task(self._task)

    def track(self, items: Iterable[T], total: int) -> Iterable[T]:
        """The items, counted by a bar."""
        return self._progress.track(items, total=total, description=self._name)

    def progress(self, done: int, total: int) -> None:
        """Show the bar so far."""
        self._progress.update(self._task, completed=done, total=total)


def _text(words: str) -> Text:
    """Neither markup nor orders to the terminal: names come from files of others."""
    return Text(visible(words))


def _print(table: Table) -> None:
    """Without the blanks that fill a table's last column."""
    console = Console() if sys.stdout.isatty() else Console(width=_PIPE_WIDTH)
    with console.capture() as captured:
        console.print(table)
    click.echo("\n".join(line.rstrip() for line in captured.get().splitlines()))
