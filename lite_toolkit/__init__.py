"""lite-toolkit: EfficientNet-Lite from weights to a verified .tflite on a device.

import lite_toolkit

spec = lite_toolkit.variant("lite2")
model = lite_toolkit.load_model(lite_toolkit.read_weights(spec)).model  # keras.Model with ImageNet weights
"""

import importlib
from typing import TYPE_CHECKING

from lite_toolkit.version import __version__ as __version__

if TYPE_CHECKING:
    from lite_toolkit.conversion.pipeline import convert
    from lite_toolkit.conversion.request import Request
    from lite_toolkit.errors import LiteToolkitError
    from lite_toolkit.images.preprocessing import PreprocessingSpec
    from lite_toolkit.measurement.classification import Classifier
    from lite_toolkit.networks.architectures import VARIANTS, ModelSpec, StageSpec, custom
    from lite_toolkit.networks.builder import build, endpoints, features, loss
    from lite_toolkit.networks.names import variant
    from lite_toolkit.tflite.inspection import inspect
    from lite_toolkit.training.survey import survey
    from lite_toolkit.weights.loading import load_model, read_weights
    from lite_toolkit.weights.presets import from_preset, image_processor

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
    "from_preset",
    "image_processor",
    "inspect",
    "load_model",
    "loss",
    "read_weights",
    "survey",
    "variant",
]

# Imported on first use: the board side must not need TensorFlow, nor the command line wait for it.
_MODULES = {
    "networks.architectures": ("VARIANTS", "ModelSpec", "StageSpec", "custom"),
    "networks.names": ("variant",),
    "networks.builder": ("build", "endpoints", "features", "loss"),
    "measurement.classification": ("Classifier",),
    "errors": ("LiteToolkitError",),
    "tflite.inspection": ("inspect",),
    "training.survey": ("survey",),
    "conversion.pipeline": ("convert",),
    "images.preprocessing": ("PreprocessingSpec",),
    "conversion.request": ("Request",),
    "weights.loading": ("load_model", "read_weights"),
    "weights.presets": ("from_preset", "image_processor"),
}


def __getattr__(name: str) -> object:
    for module, names in _MODULES.items():
        if name in names:
            return getattr(importlib.import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
