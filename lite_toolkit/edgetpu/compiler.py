"""The Edge TPU compiler, a program that Google publishes for x86-64 Linux: found, run and stopped."""

import os
import shutil
import signal
import subprocess
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from lite_toolkit.edgetpu import log
from lite_toolkit.errors import CompilerError, require_range
from lite_toolkit.tflite import manifest

PROGRAM = "edgetpu_compiler"
INSTALLATION = (
    f"{PROGRAM} is not installed: on x86-64 Debian or Ubuntu, install the package edgetpu-compiler from Coral's apt "
    "repository; on other computers, install it in a Docker image of Debian, or use Coral's Colab notebook: "
    "https://coral.ai/docs/edgetpu/compiler"
)

_PATIENCE = 30.0  # seconds for printing the version
_GRACE = 2.0  # seconds for the compiler to keep the limit by itself
_MOST_OUTPUT = 4 * 2**20  # bytes of its output that are read
_KEEPS_TIME = 16  # the first version that takes a limit


@dataclass(frozen=True)
class Compiler:
    """A compiler on this computer, and its version, such as "16.0.384591198"."""

    path: Path
    version: str


@dataclass(frozen=True)
class Request:
    """What to compile, and how.

    Attributes:
        models: several are compiled together, so that they share the chip's memory.
        output: the folder for what is written.
        timeout: seconds until the compiler is stopped.
        segments: into how many parts each model is cut, for as many Edge TPUs.
        minimum_runtime: the oldest runtime to compile for; None leaves it to the compiler.
        force: replace files that exist.
    """

    models: tuple[Path, ...]
    output: Path
    timeout: float = 600.0
    segments: int = 1
    minimum_runtime: int | None = None
    force: bool = False

    def __post_init__(self) -> None:
        require_range("--timeout", self.timeout, 1)
        require_range("--segments", self.segments, 1, 64)
        require_range("--min-runtime", self.minimum_runtime, 10)

    def names(self, model: Path) -> list[str]:
        """How the compiler calls what it makes of a model."""
        if self.segments == 1:
            return [f"{model.stem}_edgetpu.tflite"]
        return [f"{model.stem}_segment_{n}_of_{self.segments}_edgetpu.tflite" for n in range(self.segments)]

    def files(self) -> list[Path]:
        """All that may be written, manifests included."""
        files = [self.output / name for model in self.models for name in self.names(model)]
        return files + [manifest.path_of(file) for file in files]


def find(path: Path | None = None) -> Compiler:
    """The compiler at `path`, or the first of its name in PATH.

    Raises:
        CompilerError: there is none, or it does not tell its version.
    """
    found = shutil.which(PROGRAM if path is None else path.absolute())
    if found is None:
        raise CompilerError(INSTALLATION if path is None else f"{path}: no program that can be run")
    text, code = _run([found, "--version"], _PATIENCE)
    version = log.parse(text).version
    if code != 0 or version is None or not version[0].isdigit():
        raise CompilerError(f"{found} --version does not tell the version of an {PROGRAM}")
    return Compiler(Path(found), version)


def run(compiler: Compiler, request: Request, folder: Path) -> log.CompilerLog:
    """Run it, let it write into `folder`, and read what it prints.

    Raises:
        CompilerError: it fails, or runs longer than the request allows.
    """
    names = ", ".join(model.name for model in request.models)
    text, code = _run([str(compiler.path), *_options(compiler, request, folder)], request.timeout + _GRACE)
    found = log.parse(text)
    if code is None:
        raise CompilerError(f"{PROGRAM} took more than {request.timeout:g} seconds for {names}: raise --timeout")
    if code or found.failures:
        said = " ".join(found.failures) or f"it ended with code {code}"
        raise CompilerError(f"{PROGRAM} {compiler.version} failed on {names}: {said}{_advice(said)}")
    return found


def _options(compiler: Compiler, request: Request, folder: Path) -> list[str]:
    options = ["-s", "-o", str(folder.absolute())]
    if request.segments > 1:
        options += ["-n", str(request.segments)]
    if request.minimum_runtime is not None:
        options += ["-m", str(request.minimum_runtime)]
    if int(compiler.version.partition(".")[0]) >= _KEEPS_TIME:
        options += ["-t", str(max(1, round(request.timeout)))]
    # Absolute, so that no name is taken for an option.
    return [*options, *(str(model.absolute()) for model in request.models)]


def _advice(said: str) -> str:
    if "large activation tensors" in said:
        return " (a smaller --input-size helps, or --segments)"
    return ""


def _run(command: list[str], timeout: float) -> tuple[str, int | None]:
    """What a program prints, and its exit code; None where it was stopped. No child of it is left in any case."""
    with tempfile.TemporaryFile() as output:  # a pipe would fill up, or memory
        try:
            process = subprocess.Popen(  # noqa: S603  # a list, and no shell
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
            )
        except OSError as error:
            raise CompilerError(f"cannot run {command[0]}: {error.strerror}") from error
        try:
            code: int | None = process.wait(timeout)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            _stop(process)
        output.seek(0)
        return output.read(_MOST_OUTPUT).decode(errors="replace"), code


def _stop(process: "subprocess.Popen[bytes]") -> None:
    """End the program and its children, which it puts into a group of its own."""
    with suppress(ProcessLookupError, PermissionError):  # all of them have ended
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
