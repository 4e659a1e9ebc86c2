"""What an app needs of a model, in one folder: package it, and verify it where it runs."""
