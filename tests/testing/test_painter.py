from __future__ import annotations

import numpy as np
import pytest

from hdgan.errors import BadInput
from hdgan.labels import KIDNEY
from hdgan.testing.anatomy import ARTERIOLE, ARTERY, DIAMETERS_UM, GLOMERULUS, TUBULOINTERSTITIUM, WHITESPACE, lay_out
from hdgan.testing.fields import Window
from hdgan.testing.painter import Painting, paint, render, truth
from hdgan.testing.stains import STAINS, mix_dyes

NAMES = KIDNEY.names


@pytest.fixture(scope="module")
def slides() -> list[Painting]:
    """Sixteen slides of all stains and three centres, at 1 um/px."""
    return [
        paint(seed, size_px=512, mpp=1.0, stain=tuple(STAINS)[seed % 4], centre=("north", "south", "east")[seed % 3], patient=f"p{seed}")
        for seed in range(16)
    ]


def test_the_same_arguments_give_the_same_pixels_and_other_seeds_others() -> None:
    first, again, other = (paint(seed, size_px=64, mpp=2.0) for seed in (3, 3, 4))
    assert np.array_equal(first.image, again.image)
    assert np.array_equal(first.mask, again.mask)
    assert not np.array_equal(first.mask, other.mask)


@pytest.mark.parametrize("mpp", [0.5, 3.0])
def test_a_window_has_the_pixels_of_the_whole_slide(mpp: float) -> None:
    scene = lay_out(5, width_um=160 * mpp, height_um=130 * mpp, scale=1.0, density=1.0, outline="edge", coverage=0.8)
    dyes = mix_dyes("jones", centre="south", patient="p")
    whole, part = Window(0, 0, 160, 130, mpp), Window(37, 61, 50, 40, mpp)
    place = whole.slices(part)
    assert np.array_equal(render(scene, part, dyes), render(scene, whole, dyes)[place])
    assert np.array_equal(truth(scene, part), truth(scene, whole)[place])


def test_a_slide_painted_in_several_bands_equals_one_rendered_at_once() -> None:
    painting = paint(8, size_px=(600, 520), mpp=1.0, stain="he", centre="east", patient="p1")
    scene = lay_out(8, width_um=520.0, height_um=600.0, scale=1.0, density=1.0, outline="edge", coverage=None)
    window = Window(0, 0, 520, 600, 1.0)
    assert np.array_equal(painting.image, render(scene, window, mix_dyes("he", centre="east", patient="p1")))
    assert np.array_equal(painting.mask, truth(scene, window))


def test_all_five_classes_are_frequent_enough_to_learn_from(slides: list[Painting]) -> None:
    share = np.bincount(np.concatenate([s.mask.ravel() for s in slides]), minlength=5) / (512 * 512 * len(slides))
    assert share[WHITESPACE] > 0.05
    assert share[TUBULOINTERSTITIUM] > 0.4
    assert share[GLOMERULUS] > 0.05
    assert share[ARTERIOLE] > 0.01
    assert share[ARTERY] > 0.03


def test_small_fields_at_a_coarse_scale_hold_several_classes() -> None:
    counts = [len(np.unique(paint(seed, size_px=64, mpp=4.0, scale=0.7).mask)) for seed in range(24)]
    assert np.mean(counts) > 3.2
    assert min(counts) >= 2


@pytest.mark.parametrize("mpp", [0.5, 2.0])
def test_a_structure_has_the_same_size_in_um_at_every_scale_of_the_image(mpp: float) -> None:
    size = int(1600 / mpp)
    scene = lay_out(1, width_um=1600.0, height_um=1600.0, scale=1.0, density=1.0, outline="full", coverage=None)
    mask = truth(scene, Window(0, 0, size, size, mpp))
    for kind, (low, high) in DIAMETERS_UM.items():
        inner = [b for b in scene.bodies if b.kind == kind and 130 < b.x_um < 1470 and 130 < b.y_um < 1470]
        assert inner, NAMES[kind]
        for body in inner:
            reach = int(np.ceil(body.reach_um / mpp))
            x, y = int(body.x_um / mpp), int(body.y_um / mpp)
            area = (mask[y - reach : y + reach + 1, x - reach : x + reach + 1] == kind).sum() * mpp**2
            assert 0.85 * low < 2 * np.sqrt(area / np.pi) < 1.6 * high or area > np.pi * body.radius_um**2 * 0.9


def test_bodies_do_not_touch() -> None:
    bodies = lay_out(2, width_um=2000.0, height_um=1500.0, scale=1.0, density=2.0, outline="full", coverage=None).bodies
    assert len(bodies) > 50
    for i, a in enumerate(bodies):
        for b in bodies[:i]:
            assert np.hypot(a.x_um - b.x_um, a.y_um - b.y_um) > a.reach_um + b.reach_um


def test_stain_centre_and_patient_change_colours_but_no_class(slides: list[Painting]) -> None:
    options = [("he", "north", "a"), ("he", "south", "a"), ("he", "north", "b"), ("jones", "north", "a")]
    painted = [paint(6, size_px=128, mpp=2.0, stain=s, centre=c, patient=p, outline="full") for s, c, p in options]
    means = [p.image.mean(axis=(0, 1)) for p in painted]
    for other, mean in zip(painted[1:], means[1:], strict=True):
        assert np.array_equal(other.mask, painted[0].mask)
        assert np.abs(mean - means[0]).max() > 1.0


def test_lumens_are_as_white_as_glass(slides: list[Painting]) -> None:
    for s in slides:
        white = (s.image.min(axis=2) > 200) & (np.ptp(s.image, axis=2) < 25)
        assert white[s.mask == TUBULOINTERSTITIUM].mean() > 0.02
        if (s.mask == GLOMERULUS).sum() > 20_000:
            assert white[s.mask == GLOMERULUS].mean() > 0.1
        if (s.mask == WHITESPACE).any():
            assert white[s.mask == WHITESPACE].mean() > 0.9


def _dice(truths: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    matrix = np.bincount(truths.astype(np.int64) * 5 + predictions, minlength=25).reshape(5, 5)
    return np.asarray(2 * np.diag(matrix) / (matrix.sum(0) + matrix.sum(1)))


def _colour_bin(image: np.ndarray, bits: int) -> np.ndarray:
    levels = (image >> (8 - bits)).astype(np.int64).reshape(-1, 3)
    return np.asarray((levels[:, 0] << 2 * bits) | (levels[:, 1] << bits) | levels[:, 2])


@pytest.mark.parametrize("is_balanced", [False, True])
@pytest.mark.parametrize("stain", [None, "he", "pas", "jones", "trichrome"])
def test_colour_alone_does_not_tell_the_classes_apart(slides: list[Painting], stain: str | None, is_balanced: bool) -> None:
    """A Bayes classifier on a colour histogram, on one stain or on all, with the classes' own frequencies or equal ones."""
    if stain is not None:
        slides = [paint(s, size_px=384, mpp=1.0, stain=stain, centre="north", patient=f"p{s % 2}") for s in range(100, 112)]
    half = len(slides) // 2
    counts = np.full((5, 2 ** (3 * 5)), 1e-3)
    for s in slides[:half]:
        np.add.at(counts, (s.mask.ravel(), _colour_bin(s.image, 5)), 1)
    if is_balanced:
        counts /= counts.sum(axis=1, keepdims=True)
    best = counts.argmax(axis=0)
    truths = np.concatenate([s.mask.ravel() for s in slides[half:]])
    dice = _dice(truths, np.concatenate([best[_colour_bin(s.image, 5)] for s in slides[half:]]))
    assert dice.mean() < 0.6
    assert dice[[GLOMERULUS, ARTERIOLE, ARTERY]].max() < 0.6


@pytest.mark.parametrize(
    "arguments",
    [{"stain": "gram"}, {"outline": "square"}, {"size_px": 0}, {"mpp": 0.0}, {"mpp": float("nan")}, {"scale": -1.0}, {"density": -1.0}],
)
def test_what_cannot_be_painted_is_refused(arguments: dict[str, object]) -> None:
    with pytest.raises(BadInput, match="painter"):
        paint(0, **{"size_px": 16, **arguments})  # type: ignore[arg-type]


@pytest.mark.parametrize("size_px", [1, (1, 40), (33, 7)])
@pytest.mark.parametrize("mpp", [0.1, 8.0, 60.0])
def test_any_size_and_scale_can_be_painted(size_px: int | tuple[int, int], mpp: float) -> None:
    painting = paint(1, size_px=size_px, mpp=mpp)
    shape = (size_px, size_px) if isinstance(size_px, int) else size_px
    assert painting.mask.shape == shape
    assert painting.image.shape == (*shape, 3)
    assert painting.mask.max() < 5
