"""A network of ours or a file of the user's -> verified `.tflite` files."""
