"""A model's first run with a delegate's library, in a child process: such libraries crash instead of failing."""

from __future__ import annotations

import ctypes
import json
import re
import subprocess
from pathlib import Path

from lite_toolkit.errors import DelegateError, LiteToolkitError
from lite_toolkit.runtime import children, delegates, interpreter
from lite_toolkit.streams import claim_stdout

PATIENCE = 120.0  # seconds; the first run loads a model into an Edge TPU over USB, which takes one or two

_ADVICE = {
    "load": "check that it is built for this system and the versions of the libraries that it needs",
    "prepare": "check that it is built for the runtime's version, and that the model is compiled for it",
    "run": "check the device's power supply and cable, and that the library is built for the runtime's version",
}


_EDGETPU_ADVICE = (
    "; Coral's own libedgetpu crashes with tflite-runtime 2.12 and later: take an older one, or a libedgetpu that is "
    "built for {runtime}; with ai-edge-litert none is known to work"
)


def rehearse(model: Path, threads: int, delegate: delegates.Delegate, minimum_runtime: int | None = None) -> str | None:
    """Load the model with `delegate` and run it once, in a child process; nothing is done for one without a library.

    Args:
        model: the file.
        threads: for the kernels.
        delegate: what runs the nodes that it can.
        minimum_runtime: the oldest runtime of an Edge TPU that a compiled model runs with, where that is known.

    Returns:
        What an Edge TPU's library says of its version; None for any other delegate.

    Raises:
        DelegateError: it failed, crashed, or took longer than `PATIENCE`; the message says at what, and what to check.
    """
    if delegate.library is None:
        return None
    chosen = json.dumps([delegate.name, delegate.library, dict(delegate.options)])
    task = (str(model), str(threads), chosen, str(minimum_runtime or 0))
    command = children.command(__name__, *task)
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE)  # noqa: S603
    except subprocess.TimeoutExpired as error:
        raise DelegateError(f"delegate {delegate.name}: no end of the first run after {PATIENCE:g} seconds") from error
    said = [json.loads(line) for line in done.stdout.decode().splitlines()]
    if said and "error" in said[-1]:
        raise DelegateError(said[-1]["error"])
    if not said or said[-1]["stage"] != "done":
        raise DelegateError(_crash(delegate, said, done.returncode, done.stderr.decode(errors="replace")))
    version: str | None = said[-1]["version"]
    return version


def main(model: str, threads: str, chosen: str, minimum_runtime: str) -> None:
    """What the child does: it says on standard output what it is about to do, and what failed."""
    delegate = delegates.Delegate(*json.loads(chosen))
    with claim_stdout() as stream:

        def say(**what: str | None) -> None:
            stream.write(json.dumps(what) + "\n")
            stream.flush()

        try:
            say(stage="load")
            interpreter.load_delegate(delegate)
            version = _version(str(delegate.library))
            _require(delegate.name, version, int(minimum_runtime))
            say(stage="prepare")
            loaded = interpreter.interpreter(Path(model), int(threads), delegate)
            say(stage="run")
            loaded.invoke()
            say(stage="done", version=version)
        except LiteToolkitError as error:
            say(error=str(error))
        except (ValueError, RuntimeError) as error:
            say(error=f"delegate {delegate.name} cannot run {model}: {error}{delegates.advice(str(error))}")


def _version(library: str) -> str | None:
    """Of a loaded library with the function `edgetpu_version` (tflite/public/edgetpu_c.h of libedgetpu)."""
    try:
        tell = ctypes.CDLL(library).edgetpu_version
    except (OSError, AttributeError):
        return None
    tell.restype = ctypes.c_char_p
    return (tell() or b"").decode(errors="replace")


def _require(name: str, version: str | None, minimum: int) -> None:
    found = re.search(r"RuntimeVersion\((\d+)\)", version or "")
    if found and int(found.group(1)) < minimum:
        raise DelegateError(
            f"delegate {name}: the model needs runtime {minimum}, and the library has {found.group(1)}: install a "
            f"newer libedgetpu, or compile with --min-runtime {found.group(1)}"
        )


def _crash(delegate: delegates.Delegate, said: list[dict[str, str]], code: int, noise: str) -> str:
    """One line about a child that ended before it was done."""
    stage = said[-1]["stage"] if said else "load"
    step = {"load": "load it", "prepare": "prepare the model with it", "run": "run the model"}[stage]
    printed = "".join(f" (it printed: {line})" for line in noise.strip().splitlines()[-1:])
    advice = _ADVICE[stage]
    if delegates.is_edgetpu(str(delegate.library)):
        advice += _EDGETPU_ADVICE.format(runtime=interpreter.runtime_version())
    return (
        f"delegate {delegate.name}: the attempt to {step} ended the process {children.ending(code)}: {advice}{printed}"
    )
