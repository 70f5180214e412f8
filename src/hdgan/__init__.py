"""hdgan: an unlimited, pixel-labelled histology dataset from a few annotated generated images.

The public names are looked up when they are first used, so that importing the package costs nothing. Nothing inside
the package imports from here.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "AnnotationSet": "hdgan.annotations.reader",
    "ClassMap": "hdgan.labels",
    "Ensemble": "hdgan.classifier.ensemble",
    "FeatureBank": "hdgan.features.bank",
    "HdganError": "hdgan.errors",
    "PairFolder": "hdgan.store.pairs",
    "SampleBank": "hdgan.store.bank",
    "TileArchive": "hdgan.store.archive",
    "confusion": "hdgan.measures.confusion",
    "label_image": "hdgan.classifier.ensemble",
    "load_generator": "hdgan.generator.weights",
    "load_segmenter": "hdgan.downstream.segmenter",
    "open_run": "hdgan.pipeline.run",
    "open_slide": "hdgan.slides.reader",
    "run_all": "hdgan.pipeline.run",
    "score": "hdgan.measures.scores",
}

__all__ = sorted([*_HOMES, "__version__"])


def __getattr__(name: str) -> Any:
    """The public name, from the module that it lives in."""
    if name not in _HOMES:
        raise AttributeError(f"module 'hdgan' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    """The public names."""
    return list(__all__)
