"""Documents of every kind, read without trust and compared."""
