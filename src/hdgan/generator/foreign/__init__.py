"""Reads weights that other software wrote, without running anything that stands in them; needs numpy, not torch."""
