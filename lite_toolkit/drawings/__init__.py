"""Figures; the only wing that imports matplotlib."""
