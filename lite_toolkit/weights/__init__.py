"""Pretrained weights: where they come from, how their files are read, and how their names map to Keras."""
