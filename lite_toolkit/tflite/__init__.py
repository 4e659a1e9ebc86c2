"""A `.tflite` file as values: its graph, its metadata, its manifest."""
