"""Image files found, read, resized and preprocessed; sent to boards."""
