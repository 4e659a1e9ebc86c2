"""TensorFlow and Keras, imported in one place: quietly, and with a clear error where they are missing."""

import os
from typing import Any

from lite_toolkit.errors import LiteToolkitError, MissingExtraError
from lite_toolkit.streams import quiet

# Both are read once, at import: only errors are logged, and Keras computes with TensorFlow, which writes the .tflite.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

try:
    with quiet():
        import keras
        import tensorflow as tf

        tf.config.list_physical_devices()  # looks for CUDA now, while its complaint is held back
except ModuleNotFoundError as error:
    raise MissingExtraError(error.name or "tensorflow", "convert") from error

if keras.backend.backend() != "tensorflow":
    raise LiteToolkitError(
        f"Keras runs on {keras.backend.backend()!r} here: set KERAS_BACKEND=tensorflow, which writes .tflite files"
    )

__all__ = ["gelu_new", "keras", "tf"]


# Here, so that every file of Keras that names it can be loaded.
@keras.saving.register_keras_serializable("lite_toolkit")  # type: ignore[untyped-decorator]
def gelu_new(x: Any) -> Any:
    """GELU by its approximation with tanh, as in BERT's and GPT-2's original code."""
    return keras.activations.gelu(x, approximate=True)
