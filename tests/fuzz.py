"""Damage `.tflite` files and let `inspect` and `edgetpu check` read them: python tests/fuzz.py FOLDER COUNT [SEED].

Every second file is damaged in its structure: offsets, lengths, and numbers of tensors, operators and buffers, at the
places where the reader finds them. Prints what became of them as JSON.
"""

import contextlib
import io
import json
import random
import signal
import struct
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from lite_toolkit import outputs
from lite_toolkit.cli.tables import edgetpu as check_tables
from lite_toolkit.cli.tables import inspection as inspect_tables
from lite_toolkit.edgetpu.executable import packages
from lite_toolkit.edgetpu.forecast import check
from lite_toolkit.errors import ModelError
from lite_toolkit.tflite import flatbuffer, metadata
from lite_toolkit.tflite.graph import read_graph
from lite_toolkit.tflite.inspection import inspect

LIMIT = 60.0  # seconds for one file, which take milliseconds: beyond it hangs
EDGES = (0, 1, 2, 3, 4, 7, 8, 127, 128, 255, 65_535, 65_536, 2**24, 2**31 - 1, 2**31, 2**32 - 1, 2**63, 2**64 - 1)
Place = tuple[int, int]


def places(content: bytes) -> list[Place]:
    """(position, width) of every number that the reader looks at, those in packages of the Edge TPU included."""
    found: set[Place] = set()
    integer, span = flatbuffer._Source.integer, flatbuffer.Table.span

    def seen_integer(self: Any, code: str, position: int, where: str) -> int:
        found.update(moved(self.data, position, struct.calcsize(f"<{code}")))
        return integer(self, code, position, where)

    def seen_span(self: Any, field: str, width: int) -> Place:
        start, count = span(self, field, width)
        for index in range(count if width in (1, 4, 8) and count < 64 else 0):
            found.update(moved(self._source.data, start + width * index, width))
        return start, count

    def moved(data: bytes, position: int, width: int) -> Iterator[Place]:
        base = 0 if data is content else content.find(data)
        if base >= 0:
            yield base + position, width

    flatbuffer._Source.integer, flatbuffer.Table.span = seen_integer, seen_span  # type: ignore[method-assign]
    try:
        packages(read_graph(content))
        metadata.read(content)
    finally:
        flatbuffer._Source.integer, flatbuffer.Table.span = integer, span  # type: ignore[method-assign]
    return sorted(found)


def misled(choose: random.Random, content: bytes, found: list[Place]) -> bytes:
    """With one to four of its numbers replaced by others that might lead somewhere."""
    damaged = bytearray(content)
    for _ in range(choose.choice((1, 1, 2, 4))):
        position, width = choose.choice(found)
        before = int.from_bytes(damaged[position : position + width], "little")
        elsewhere = choose.choice(found)[0]
        another = int.from_bytes(damaged[elsewhere : elsewhere + width], "little")
        near = before + choose.choice((-8, -4, -1, 1, 4, 8))
        value = choose.choice((choose.choice(EDGES), near, another, choose.getrandbits(8 * width)))
        damaged[position : position + width] = (value % 2 ** (8 * width)).to_bytes(width, "little")
    return bytes(damaged)


def scratched(choose: random.Random, content: bytes) -> bytes:
    """Cut short, with a hole, or with other bytes here and there."""
    damaged, start = bytearray(content), choose.randrange(8, len(content))
    kind = choose.randrange(4)
    if kind == 0:
        return bytes(damaged[:start])
    if kind == 1:
        del damaged[start : start + choose.choice((1, 4, 64))]
        return bytes(damaged)
    for _ in range(choose.choice((1, 4, 32))):
        damaged[choose.randrange(8, len(damaged))] = choose.randrange(256)
    return bytes(damaged)


def look_inside(path: Path) -> None:
    found = inspect(path)
    outputs.to_json(found.to_json())
    inspect_tables.show_inspection(found)


def look_ahead(path: Path) -> None:
    found = check(path)
    outputs.to_json(found.to_json())
    check_tables.show_check(found)


def outcome(read: Callable[[Path], None], path: Path) -> str:
    signal.setitimer(signal.ITIMER_REAL, LIMIT)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            read(path)
    except ModelError as error:
        return "refused" if str(error).isprintable() else f"refused in several lines: {str(error)!r}"
    except BaseException as error:  # noqa: BLE001  # anything else is a finding
        return f"{type(error).__name__}: {error} in {read.__name__}"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return "read"


def too_long(number: int, frame: object) -> None:
    raise TimeoutError(f"more than {LIMIT} seconds")


def main(folder: Path, count: int, seed: int = 0) -> None:
    signal.signal(signal.SIGALRM, too_long)
    contents = [path.read_bytes() for path in sorted(folder.glob("*.tflite"))]
    known = [places(content) for content in contents]
    choose, outcomes = random.Random(seed), Counter[str]()
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / "damaged.tflite"
        for number in range(count):
            index = choose.randrange(len(contents))
            content = contents[index]
            path.write_bytes(misled(choose, content, known[index]) if number % 2 else scratched(choose, content))
            for read in (look_inside, look_ahead):
                outcomes[outcome(read, path)] += 1
    # A child's ru_maxrss begins at what its parent had when it was forked.
    peak = int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) // 1024
    sys.stdout.write(json.dumps({"outcomes": outcomes, "peak_mib": peak}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
