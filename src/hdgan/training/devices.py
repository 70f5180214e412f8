"""Which device a setting means."""

from __future__ import annotations

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
