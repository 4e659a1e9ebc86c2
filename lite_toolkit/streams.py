"""What native code prints past Python."""

from __future__ import annotations

import os
import sys
import tempfile
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lite_toolkit.errors import LiteToolkitError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TextIO


@contextmanager
def quiet() -> Iterator[None]:
    """Hold back what is written to the process's standard error; it is shown only if the block fails unexpectedly.

    TensorFlow, MLIR and XNNPACK report there at every import, conversion and start, past `sys.stderr`.
    """
    sys.stderr.flush()
    with tempfile.TemporaryFile() as held:
        saved = os.dup(2)
        os.dup2(held.fileno(), 2)
        try:
            yield
        except (LiteToolkitError, KeyboardInterrupt):
            raise
        except BaseException:
            held.seek(0)
            os.write(saved, held.read())
            raise
        finally:
            sys.stderr.flush()
            os.dup2(saved, 2)
            os.close(saved)


def claim_stdout() -> TextIO:
    """The process's standard output for the caller alone: what anybody else prints there goes to standard error."""
    stream = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return stream
