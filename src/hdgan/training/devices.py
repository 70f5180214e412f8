"""Which device a setting means, and how exactly a GPU computes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from hdgan.errors import BadConfig


def chosen_device(name: str, *, setting: str) -> str:
    """The device that the value `name` of `setting` means: `auto` is a GPU where there is one.

    Raises:
        BadConfig: a GPU was asked for and there is none.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise BadConfig(setting, "cuda was asked for and there is none", "use auto or cpu")
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return name


@contextmanager
def whole_float32() -> Iterator[None]:
    """Products in float32 keep all of its bits on a GPU while it lasts. Also a decorator.

    By itself torch lets a GPU's convolutions round what they multiply to 10 bits (TF32): an image then differs from a CPU's as one in float16
    does, and samples drawn on the one would not be recognised on the other.
    """
    kinds = (torch.backends.cudnn.conv, torch.backends.cuda.matmul)  # type: ignore[attr-defined] # torch's modules of flags
    before = [kind.fp32_precision for kind in kinds]
    try:
        for kind in kinds:
            kind.fp32_precision = "ieee"
        yield
    finally:
        for kind, precision in zip(kinds, before, strict=True):
            kind.fp32_precision = precision
