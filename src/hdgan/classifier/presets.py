"""Named settings of the pixel classifier: what publications and their code say, and what they leave open.

A preset is a table of `ClassifierConfig` fields that differ from its defaults; any field given beside it goes before it. The defaults
themselves are `default`, chosen by measurement on validation images (docs/decisions). What holds for all of them: features are upsampled
bilinearly with half-pixel centres, standardised by the training images' own moments, and 255 is never learnt from.
"""

from __future__ import annotations

from typing import Any

_PUBLISHED: dict[str, Any] = {
    "tap_weights": "channels",
    "components": None,
    "input_dropout": 0.0,
    "norm": "batch",
    "order": "relu-norm",
    "schedule": "constant",
    "weight_decay": 0.0,
    "loss": "cross-entropy",
    "class_weights": "none",
    "sampling": "uniform",
    "pixels_per_image": 16_384,
    "prior_correction": False,
    "calibrate": False,
    "mask_balance": 0.0,
    "patience": None,
}
"""What no source that is listed here does, and so is off; and all pixels of images up to 128 px, an even draw of larger ones."""

_PRESETS: dict[str, dict[str, Any]] = {
    "default": {},
    "hdgan-paper": _PUBLISHED
    | {
        "hidden": (128, 32),
        "dropout": 0.3,
        "members": 1,
        "optimiser": "sgd",
        "lr": 1e-4,
        "momentum": 0.0,
        "epochs": 25,
        "batch_pixels": 1024,
        "keep": "macro-dice",
    },
    "hdgan-code": _PUBLISHED
    | {
        "hidden": (128, 32),
        "dropout": (0.3, 0.0),
        "init_std": 0.02,
        "input_noise": 0.1,
        "input_noise_chance": 0.5,
        "members": 1,
        "optimiser": "sgd",
        "lr": 1e-4,
        "momentum": 0.9,
        "epochs": 25,
        "batch_pixels": 65_536,
        "sampling": "stratified",
        "balance": 0.7,
        "label_smoothing": 0.1,
        "keep": "macro-dice",
    },
    "datasetgan": _PUBLISHED
    | {
        "hidden": (128, 32),
        "dropout": 0.0,
        "members": 10,
        "optimiser": "adam",
        "lr": 1e-3,
        "epochs": 100,
        "batch_pixels": 64,
        "keep": "last",
        "stall_batches": 50,
        "stall_from_epoch": 4,
    },
    "linear": _PUBLISHED
    | {
        "hidden": (),
        "dropout": 0.0,
        "members": 1,
        "optimiser": "adam",
        "lr": 1e-3,
        "epochs": 50,
        "batch_pixels": 1024,
        "keep": "macro-dice",
    },
}

OPEN: dict[str, str] = {
    "default": "Ours: nothing is open.",
    "hdgan-paper": "Given (arXiv 2207.02712): three layers, ReLU, batch normalisation, dropout, vanilla SGD, step 1e-4, a split into training, "
    "validation and test. Left open, and filled in: widths 128 and 32 and ReLU before normalisation before dropout (as its code), dropout 0.3, "
    "cross-entropy, batch 1,024, 25 passes (as its code), every pixel alike, standardised features, bilinear upsampling, the epoch of the best macro Dice on "
    "the validation images. The classifier alone: the paper's features are without the image's colours, which takes features.image = false.",
    "hdgan-code": "Given (its authors' code as of December 2022): C-128-32-classes, ReLU, batch normalisation, dropout 0.3 after the first layer "
    "only, normal initial weights of spread 0.02, SGD with step 1e-4 and momentum 0.9, label smoothing 0.1, batch 65,536, 25 passes, "
    "standardised features, noise of spread 0.1 on every second batch. Left open or not carried over: its table of chances for five kidney "
    "classes is replaced by shares to the power 0.3, which is nearest to it; it stores every epoch and chooses none, here the best macro Dice on "
    "the validation images is kept; a batch is smaller where a pass would have less than 32 steps. Its features too need features.image = false.",
    "datasetgan": "Given (arXiv 2104.06490 and its code): ten members C-128-32-classes, Linear, ReLU, batch normalisation, no dropout, Adam with step "
    "1e-3, cross-entropy, batch 64, at most 100 passes, ended from the fifth pass on by 50 batches without a new lowest loss of a batch; no "
    "validation images. Not carried over: 256-128 for 32 classes or more, the vote of the members (here the mean of their probabilities), and "
    "classes of fewer than 30 px in an image counted as background.",
    "linear": "A linear classifier of the upsampled features (as in LinearGAN, arXiv 2104.00487): Adam with step 1e-3, cross-entropy. Filled in: "
    "batch 1,024, 50 passes, the epoch of the best macro Dice on the validation images.",
}
"""For each preset what its source gives, what it leaves open, and what was filled in."""

PRESETS = tuple(_PRESETS)


def fields(preset: str) -> dict[str, Any]:
    """Fields of `ClassifierConfig` under `preset`; none for a name that is no preset, which the settings refuse."""
    return dict(_PRESETS.get(preset, {}))
