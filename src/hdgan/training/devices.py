"""Which device a setting means, and how exactly a GPU computes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import torch

from hdgan.errors import BadConfig

_CONVOLUTIONS: Any = (torch.backends.cudnn.conv, torch.backends.cudnn.rnn)  # type: ignore[attr-defined] # torch's modules of flags; the older name is one for both
_KINDS: Any = (*_CONVOLUTIONS, torch.backends.cuda.matmul, torch.backends.mkldnn.matmul)  # type: ignore[attr-defined] # the older name of the last two is one, too


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
    with convolutions_in_float32(is_rounded=False):
        yield


@contextmanager
def convolutions_in_float32(*, is_rounded: bool) -> Iterator[None]:
    """While it lasts convolutions in float32 may round what they multiply to 10 bits (TF32) on a GPU, or may not; other products never do.

    Whatever torch was told before, afterwards it is told so again. Letting them is its own default; the published code's is not to
    (`--allow-tf32`). Filters are folded into weights by such other products, and would lose bits.
    """
    older, before = _older_flags(), [kind.fp32_precision for kind in _KINDS]
    try:
        # First by the older names: torch refuses to tell those where the two disagree, and compilers and `cudnn.flags` ask for them.
        _set_older_flags(None if older[0] is None else is_rounded, None if older[1] is None else "highest")
        for kind in _KINDS:
            kind.fp32_precision = "tf32" if is_rounded and kind in _CONVOLUTIONS else "ieee"
        yield
    finally:
        _set_older_flags(*older)
        for kind, precision in zip(_KINDS, before, strict=True):
            kind.fp32_precision = precision


def _older_flags() -> tuple[bool | None, str | None]:
    """Whether convolutions may round, and how exact products are, by torch's older names; None where newer ones told it otherwise."""
    convolutions: bool | None = None
    products: str | None = None
    with suppress(RuntimeError):
        convolutions = torch.backends.cudnn.allow_tf32
    with suppress(RuntimeError):
        products = torch.get_float32_matmul_precision()
    return convolutions, products


def _set_older_flags(convolutions: bool | None, products: str | None) -> None:
    if convolutions is not None:
        torch.backends.cudnn.allow_tf32 = convolutions
    if products is not None:
        torch.set_float32_matmul_precision(products)
