"""Float `.tflite` -> quantized `.tflite`; the facade is `quantizer`, which loads TensorFlow."""
