"""hdgan: an unlimited, pixel-labelled histology dataset from a few annotated generated images.

The names below are what the package promises to keep. Each is imported when it is first asked for, so that `import
hdgan` costs nothing and needs no torch. Nobody inside of the package imports this module.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_PLACES = {
    "AnnotationSet": "hdgan.annotations.reader",
    "ClassMap": "hdgan.labels",
    "Ensemble": "hdgan.classifier.ensemble",
    "HdganError": "hdgan.errors",
    "KIDNEY": "hdgan.labels",
    "LabelClass": "hdgan.labels",
    "PairFolder": "hdgan.store.pairs",
    "RunConfig": "hdgan.pipeline.config",
    "SampleBank": "hdgan.store.bank",
    "TileArchive": "hdgan.store.archive",
    "label_image": "hdgan.classifier.ensemble",
    "load_generator": "hdgan.generator.weights",
    "load_segmenter": "hdgan.downstream.segmenter",
    "open_run": "hdgan.pipeline.run",
    "open_slide": "hdgan.slides.reader",
    "read_class_map": "hdgan.labels",
    "run_all": "hdgan.pipeline.run",
}

__all__ = sorted(_PLACES)


def __getattr__(name: str) -> Any:
    """The public name, imported now.

    Raises:
        AttributeError: there is none.
    """
    if name not in _PLACES:
        raise AttributeError(f"module 'hdgan' has no attribute {name!r}")
    return getattr(importlib.import_module(_PLACES[name]), name)


def __dir__() -> list[str]:
    """The public names."""
    return [*__all__, "__version__"]
