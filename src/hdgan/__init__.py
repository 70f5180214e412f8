"""hdgan: an unlimited, pixel-labelled histology dataset from a few annotated generated images."""

__version__ = "0.1.0"
