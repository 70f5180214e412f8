"""Settings of the classifier stage."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from hdgan.classifier import presets
from hdgan.classifier.sampling import Sampling

VALIDATION_PIXELS = 8192
"""Pixels of each validation image on which epochs are compared; smaller images count whole."""
FEWEST_STEPS = 32
"""Steps in a pass: where the drawn pixels are few, the batch is smaller than asked."""

_Share = Annotated[float, Field(ge=0, lt=1)]
TapWeights = Literal["channels", "maps", "fine"]
_Width = Annotated[int, Field(ge=1)]


class ClassifierConfig(BaseModel):
    """The pixel classifier and its training. A field left out takes the preset's value (docs/formats/classifier.md lists them)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    preset: Literal["default", "hdgan-paper", "hdgan-code", "datasetgan", "linear"] = "default"
    """What the fields that are left out are: ours, or what a publication or its code says."""
    hidden: tuple[_Width, ...] = (128, 32)
    """Widths of the hidden layers; none (`[]`) is a linear classifier."""
    norm: Literal["batch", "none"] = "batch"
    """Normalisation of hidden values."""
    order: Literal["relu-norm", "norm-relu"] = "relu-norm"
    """Whether ReLU comes before normalisation or after it; dropout comes last."""
    dropout: _Share | tuple[_Share, ...] = 0.5
    """Share of hidden values dropped in training, one for all hidden layers or one for each."""
    tap_weights: TapWeights = "fine"
    """How much each tapped map counts: by the number of its channels (`channels`, as published), each alike (`maps`), or by its edge (`fine`)."""
    components: int | None = Field(None, ge=1)
    """The features are first shrunk to so many principal components of the training pixels; left out, all channels are learnt from."""
    whitening: float = Field(1.0, ge=0, le=1)
    """How far components are brought to one size: divided by their spread to this power."""
    input_dropout: _Share = 0.0
    """Share of a pixel's features (components, where there are any) dropped in training."""
    input_noise: float = Field(0.0, ge=0)
    """Spread of normal noise on the standardised features of a batch in training."""
    input_noise_chance: float = Field(1.0, ge=0, le=1)
    """Chance of a batch to get it."""
    init_std: float | None = Field(None, gt=0)
    """Spread of the initial weights of linear layers; left out, uniform by the width before them (He's rule as torch has it)."""
    members: int = Field(5, ge=1, le=100)
    """Classifiers in the ensemble (paper: 1; DatasetGAN: 10); their disagreement is the uncertainty."""
    optimiser: Literal["adam", "sgd"] = "adam"
    """`sgd` is the paper's; with its step of 1e-4 it needs hundreds of epochs."""
    lr: float = Field(3e-3, gt=0)
    """Step of the optimiser."""
    schedule: Literal["constant", "cosine"] = "cosine"
    """Whether the step stays, or falls to 0 along half a cosine over all epochs."""
    momentum: float = Field(0.0, ge=0, lt=1)
    """Of sgd."""
    weight_decay: float = Field(1.0, ge=0)
    """Pull of the weights towards 0, in units of the step (AdamW; with sgd added to the gradient)."""
    epochs: int = Field(15, ge=1)
    """Passes over the drawn pixels, at most."""
    batch_pixels: int = Field(512, ge=2)
    """Pixels in a step; fewer where a pass would have less than 32 steps."""
    sampling: Sampling = "stratified"
    """`uniform`: all labelled pixels alike; `stratified`: as many from every image, classes by `balance`; `balanced`: as many of every class."""
    pixels_per_image: int = Field(2048, ge=16)
    """Pixels drawn from each training image on average, anew for every member; all where there are no more."""
    balance: float = Field(0.5, ge=0, le=1)
    """With `stratified`, how far rare classes are drawn more often: chance of a class is its share to the power 1 - balance."""
    class_weights: Literal["none", "inverse", "root"] = "none"
    """Weights of classes in the loss: by nothing, by one over their share of the drawn pixels, or by its root; their mean over pixels is 1."""
    loss: Literal["cross-entropy", "cross-entropy-dice"] = "cross-entropy-dice"
    """`cross-entropy-dice` adds 1 - macro Dice of a batch's probabilities."""
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    """Share of each label that is spread over all classes."""
    keep: Literal["macro-dice", "loss", "last"] = "loss"
    """Which epoch's weights are kept: that of the highest macro Dice or the least cross-entropy on the validation images, or the last one
    (always so without validation images)."""
    patience: int | None = Field(None, ge=1)
    """Training ends after so many epochs without a better one; left out, never early."""
    stall_batches: int | None = Field(None, ge=1)
    """Training ends after so many batches in a row without a new lowest loss of a single batch (DatasetGAN: 50)."""
    stall_from_epoch: int = Field(0, ge=0)
    """The first epoch, from 0, in which `stall_batches` can end it."""
    prior_correction: bool = True
    """Probabilities are for the true shares of the classes in the training masks, not for those drawn or weighted."""
    calibrate: bool = True
    """One temperature for all members, fitted on the validation images, brings probabilities to the share that is right."""
    mask_balance: float = Field(0.0, ge=0, le=1)
    """The mask shows the class of the highest probability / share ** mask_balance: 0 the most probable, above it rare classes sooner."""

    @model_validator(mode="before")
    @classmethod
    def _fill(cls, data: Any) -> Any:
        """The preset's values under what is given."""
        if isinstance(data, dict) and isinstance(data.get("preset"), str):
            return presets.fields(data["preset"]) | data
        return data

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if not isinstance(self.dropout, float) and len(self.dropout) != len(self.hidden):
            raise ValueError(f"dropout: {len(self.dropout)} shares for {len(self.hidden)} hidden layers; give one for each, or one number")
        return self

    @property
    def dropouts(self) -> tuple[float, ...]:
        """The share of each hidden layer."""
        return (self.dropout,) * len(self.hidden) if isinstance(self.dropout, float) else self.dropout

    def batch_of(self, num_pixels: int) -> int:
        """Pixels in a step when there are `num_pixels`, at least 2."""
        return max(2, min(self.batch_pixels, num_pixels // FEWEST_STEPS))


def widths_text(num_in: int, hidden: Sequence[int]) -> str:
    """Such as 496-128-32-classes."""
    return "-".join(str(width) for width in (num_in, *hidden)) + "-classes"
