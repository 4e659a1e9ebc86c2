"""A model's first run with a delegate's library, in a child process: such libraries crash instead of failing."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path

from lite_toolkit import children, delegates, runtime
from lite_toolkit.errors import DelegateError, LiteToolkitError
from lite_toolkit.streams import claim_stdout

PATIENCE = 120.0  # seconds; the first run loads a model into an Edge TPU over USB, which takes one or two

_ADVICE = {
    "load": "check that it is built for this system and the versions of the libraries that it needs",
    "prepare": "check that it is built for the runtime's version, and that the model is compiled for it",
    "run": "check the device's power supply and cable, and that the library is built for the runtime's version",
}


def rehearse(model: Path, threads: int, delegate: delegates.Delegate) -> None:
    """Load the model with `delegate` and run it once, in a child process; nothing is done for one without a library.

    Raises:
        DelegateError: it failed, crashed, or took longer than `PATIENCE`; the message says at what, and what to check.
    """
    if delegate.library is None:
        return
    task = (str(model), str(threads), delegate.name, json.dumps(dict(delegate.options)))
    command = children.command(__name__, *task)
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE)  # noqa: S603
    except subprocess.TimeoutExpired as error:
        raise DelegateError(f"delegate {delegate.name}: no end of the first run after {PATIENCE:g} seconds") from error
    said = [json.loads(line) for line in done.stdout.decode().splitlines()]
    if said and "error" in said[-1]:
        raise DelegateError(said[-1]["error"])
    if not said or said[-1] != {"stage": "done"}:
        raise DelegateError(_crash(delegate, said, done.returncode, done.stderr.decode(errors="replace")))


def main(model: str, threads: str, name: str, options: str) -> None:
    """What the child does: it says on standard output what it is about to do, and what failed."""
    with claim_stdout() as stream:

        def say(**what: str) -> None:
            stream.write(json.dumps(what) + "\n")
            stream.flush()

        try:
            delegate = delegates.choose(name, json.loads(options))
            say(stage="load")
            runtime.load_delegate(delegate)
            say(stage="prepare")
            loaded = runtime.interpreter(Path(model), int(threads), delegate)
            say(stage="run")
            loaded.invoke()
            say(stage="done")
        except LiteToolkitError as error:
            say(error=str(error))
        except (ValueError, RuntimeError) as error:
            say(error=f"delegate {name} cannot run {model}: {error}")


def _crash(delegate: delegates.Delegate, said: list[dict[str, str]], code: int, noise: str) -> str:
    """One line about a child that ended before it was done."""
    stage = said[-1]["stage"] if said else "load"
    how = f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
    step = {"load": "load it", "prepare": "prepare the model with it", "run": "run the model"}[stage]
    printed = "".join(f" (it printed: {line})" for line in noise.strip().splitlines()[-1:])
    return f"delegate {delegate.name}: the attempt to {step} ended the process {how}: {_ADVICE[stage]}{printed}"
