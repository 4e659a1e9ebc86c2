"""Images that calibrate a model and judge it, and their true classes."""
