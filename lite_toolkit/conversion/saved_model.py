"""A SavedModel folder of the user's -> what it computes."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lite_toolkit.errors import ModelError
from lite_toolkit.networks.backend import tf

_FILE = "saved_model.pb"


@dataclass(frozen=True)
class Signature:
    """One function of a SavedModel.

    Attributes:
        inputs: their names, shapes and types (`tf.TensorSpec`).
        variables: by their names.
    """

    inputs: Mapping[str, Any]
    variables: Mapping[str, Any]
    _function: Any
    _owner: Any  # the variables live as long as it

    def __call__(self, image: Any) -> Mapping[str, Any]:
        """The outputs by name, for the only input."""
        (name,) = self.inputs
        outputs: Mapping[str, Any] = self._function(**{name: image})
        return outputs


def load(path: Path, signature: str) -> Signature:
    """A signature of the folder's functions.

    Raises:
        ModelError: the folder is no SavedModel, has no such signature, or one for text or for other batches alone.
    """
    _require_saved_model(path)
    loaded = _loaded(path)
    serve = loaded.signatures.get(signature)
    if serve is None:
        names = ", ".join(loaded.signatures) or "none"
        raise ModelError(f"{path} has no signature {signature!r}; it has {names}: pass one as --signature")
    inputs = serve.structured_input_signature[1]
    for name, spec in inputs.items():
        if spec.dtype == tf.string:
            others = ", ".join(other for other in loaded.signatures if other != signature) or "none"
            raise ModelError(
                f"{path} takes text or encoded images ({name}): needs a signature that takes pixels; besides "
                f"{signature} it has {others} (--signature)"
            )
        if spec.shape.rank and spec.shape[0] not in (None, 1):
            raise ModelError(
                f"{path} takes {spec.shape[0]} images at once ({name}): export it for batches of any size, or of 1"
            )
    variables = {variable.name.removesuffix(":0"): variable for variable in serve.variables}
    return Signature(inputs, variables, serve, loaded)


def _loaded(path: Path) -> Any:
    try:
        return tf.saved_model.load(str(path))
    except ValueError as error:
        if "tags" not in str(error):
            raise
        return tf.saved_model.load(str(path), tags="serve")  # TF 1 stores graphs for training beside it


def _require_saved_model(path: Path) -> None:
    if (path / _FILE).is_file() or (path / f"{_FILE}txt").is_file():
        return
    inside = [file.parent for file in sorted(path.glob(f"*/{_FILE}"))] + sorted(path.glob("*.keras"))
    there = f"; {inside[-1]} is one" if inside else ""
    raise ModelError(f"{path} holds no {_FILE}: must be a .keras file or a SavedModel folder{there}")
