"""What a file is that is no Keras file, and what to do with it."""

import re
import zipfile
from pathlib import Path

_HEAD = 64  # bytes that tell
_WEIGHTS = "weights without their network: pass --variant with --weights where the network is one of ours"
_TORCH = f"a checkpoint of PyTorch, {_WEIGHTS}, or convert it with litert-torch"

# By how files begin; protocol buffers by their first fields.
_KINDS = (
    (rb"$", "empty"),
    (rb"version https://git-lfs", "a pointer of Git LFS: git lfs pull brings the file itself"),
    (rb"\s*<(!doctype|html|\?xml)", "a web page, not the file behind it: download that again"),
    (rb"\x1f\x8b|BZh|7z\xbc\xaf|Rar!", "an archive: unpack it first"),
    (rb"\x08\x01\x12", "the graph of a SavedModel: pass its folder"),
    (rb"\x08[\x03-\x1f]", "an ONNX model: convert it with onnx2tf, and pass the SavedModel"),
    (rb"\x0a.{1,4}\x0a", "a frozen graph of TensorFlow 1: export a SavedModel where its code is at hand"),
    (rb"\x80[\x02-\x05]", _TORCH),
    (rb".{8}\{\"", f"safetensors, {_WEIGHTS}"),
    (
        rb"\s*[{\[]",
        "JSON, a network without its weights: save the whole model, model.save('file.keras')",
    ),
)


def of(path: Path) -> str | None:
    """What the file is and what to do; None where its beginning does not tell."""
    if zipfile.is_zipfile(path):
        return _of_archive(path)
    with path.open("rb") as file:
        head = file.read(_HEAD)
    found = (kind for beginning, kind in _KINDS if re.match(beginning, head, re.DOTALL | re.IGNORECASE))
    return next(found, None)


def _of_archive(path: Path) -> str | None:
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    if any(name.endswith("data.pkl") for name in names):
        return _TORCH
    if any(name.endswith("saved_model.pb") for name in names):
        return "an archive of a SavedModel: unpack it, and pass the folder"
    models = [name for name in names if name.endswith((".keras", ".h5"))]
    return f"an archive: unpack it, and pass {models[0]}" if models else None
