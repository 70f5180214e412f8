"""The sets of operations of adaptive discriminator augmentation (arXiv 2006.06676, appendix B). Without torch: settings name them."""

from __future__ import annotations

BLIT = ("xflip", "rotate90", "xint")
GEOMETRY = ("scale", "rotate", "aniso", "xfrac")
COLOUR = ("brightness", "contrast", "lumaflip", "hue", "saturation")
SETS: dict[str, tuple[str, ...]] = {
    "none": (),
    "blit": BLIT,
    "geom": GEOMETRY,
    "color": COLOUR,
    "filter": ("filter",),
    "noise": ("noise",),
    "cutout": ("cutout",),
    "bg": BLIT + GEOMETRY,
    "bgc": BLIT + GEOMETRY + COLOUR,
    "bgcf": (*BLIT, *GEOMETRY, *COLOUR, "filter"),
    "bgcfn": (*BLIT, *GEOMETRY, *COLOUR, "filter", "noise"),
    "bgcfnc": (*BLIT, *GEOMETRY, *COLOUR, "filter", "noise", "cutout"),
    # Tissue without impossible stains: no inverted brightness, no rotated hue.
    "tissue": (*BLIT, *GEOMETRY, "brightness", "contrast", "saturation"),
    # The same without resampling, which is a third of a CPU's training time: for crops that are turned by any angle when they are read.
    "tissue-blit": (*BLIT, "brightness", "contrast", "saturation"),
    # What differs between laboratories: how much of each stain a section took up, and how evenly (arXiv 1902.06543, HED jitter).
    "histology": (*BLIT, *GEOMETRY, "stain"),
    "histology-blit": (*BLIT, "stain"),
}
"""The sets of operations by name; the first twelve are the paper's."""
