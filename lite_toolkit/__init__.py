"""lite-toolkit: EfficientNet-Lite from weights to a verified .tflite on a device."""

__version__ = "0.1.0"
