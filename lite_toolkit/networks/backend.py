"""TensorFlow and Keras, imported in one place: quietly, and with a clear error where they are missing."""

import os

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

__all__ = ["keras", "tf"]
