"""What was measured, as documents: written, read without trust, compared."""
