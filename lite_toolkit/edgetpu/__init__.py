"""The Coral Edge TPU: what its compiler will do with a model, and what it did."""
