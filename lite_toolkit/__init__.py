"""lite-toolkit: EfficientNet-Lite from weights to a verified .tflite on a device.

import lite_toolkit

spec = lite_toolkit.variant("lite2")
model = lite_toolkit.load_model(lite_toolkit.read_weights(spec)).model  # keras.Model with ImageNet weights
"""

import importlib
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from lite_toolkit.architectures import VARIANTS, ModelSpec, StageSpec, custom, variant
    from lite_toolkit.builder import build, endpoints, features
    from lite_toolkit.classification import Classifier
    from lite_toolkit.errors import LiteToolkitError
    from lite_toolkit.inspection import inspect
    from lite_toolkit.pipeline import convert
    from lite_toolkit.preprocessing import PreprocessingSpec
    from lite_toolkit.request import Request
    from lite_toolkit.weights.loading import load_model, read_weights

__all__ = [
    "VARIANTS",
    "Classifier",
    "LiteToolkitError",
    "ModelSpec",
    "PreprocessingSpec",
    "Request",
    "StageSpec",
    "build",
    "convert",
    "custom",
    "endpoints",
    "features",
    "inspect",
    "load_model",
    "read_weights",
    "variant",
]

# Imported on first use: the board side must not need TensorFlow, nor the command line wait for it.
_MODULES = {
    "architectures": ("VARIANTS", "ModelSpec", "StageSpec", "custom", "variant"),
    "builder": ("build", "endpoints", "features"),
    "classification": ("Classifier",),
    "errors": ("LiteToolkitError",),
    "inspection": ("inspect",),
    "pipeline": ("convert",),
    "preprocessing": ("PreprocessingSpec",),
    "request": ("Request",),
    "weights.loading": ("load_model", "read_weights"),
}


def __getattr__(name: str) -> object:
    for module, names in _MODULES.items():
        if name in names:
            return getattr(importlib.import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
