from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from hdgan.samples.shortlist import choose, describe, describe_all, shrink


def cost(points, chosen):
    return np.linalg.norm(points[:, None] - points[list(chosen)][None], axis=2).min(axis=1).sum()


def clusters(seed, sizes=(30, 12, 6), spread=0.05):
    rng = np.random.default_rng(seed)
    centres = rng.uniform(-1, 1, (len(sizes), 3)) + np.arange(len(sizes))[:, None] * 4
    labels = np.repeat(np.arange(len(sizes)), sizes)
    order = rng.permutation(len(labels))
    return (centres[labels] + rng.normal(0, spread, (len(labels), 3)))[order], labels[order]


@settings(max_examples=20)
@given(st.integers(0, 10_000))
def test_each_group_of_alike_images_gives_one_and_says_how_many_it_stands_for(seed):
    points, labels = clusters(seed)
    listed = choose(points, num=3)
    assert sorted(labels[list(listed.chosen)].tolist()) == [0, 1, 2]
    assert dict(zip(labels[list(listed.chosen)].tolist(), listed.group_sizes, strict=True)) == {0: 30, 1: 12, 2: 6}
    assert listed.group_sizes[0] == 30


@settings(max_examples=20)
@given(st.integers(0, 10_000))
def test_the_choice_stands_for_all_better_than_chance_does(seed):
    rng = np.random.default_rng(seed)
    points = rng.standard_normal((60, 4))
    points = (points - points.mean(axis=0)) / points.std(axis=0)
    chance = [cost(points, rng.choice(60, 8, replace=False)) for _ in range(9)]
    assert cost(points, choose(points, num=8).chosen) < np.median(chance)


@settings(max_examples=30)
@given(st.integers(1, 12), st.integers(1, 20), st.integers(1, 3))
def test_the_list_has_its_length_even_when_images_are_equal(num, count, kinds):
    points = np.arange(count)[:, None] % kinds * np.ones((1, 4))
    listed = choose(points, num=num)
    assert len(set(listed.chosen)) == len(listed.chosen) == min(num, count)
    assert sum(listed.group_sizes) == count


def stripes(period, *, colour=(1.0, 1.0, 1.0), turned=False, shift=0, edge=64):
    wave = 0.5 + 0.4 * np.sin(2 * np.pi * (np.arange(edge) + shift) / period)
    plane = np.broadcast_to(wave[None, :] if not turned else wave[:, None], (edge, edge))
    return np.round(plane[:, :, None] * np.array(colour) * 255).astype(np.uint8)


def test_texture_tells_images_apart_that_have_equal_colours_and_place_does_not():
    base, finer, turned, shifted = describe_all([stripes(16), stripes(8), stripes(16, turned=True), stripes(16, shift=5)])
    assert np.linalg.norm(base - finer) > 5 * np.linalg.norm(base - shifted)
    assert np.linalg.norm(base - turned) > 5 * np.linalg.norm(base - shifted)
    assert np.linalg.norm(describe(stripes(16, colour=(1, 0.6, 0.8))) - base) > 5 * np.linalg.norm(base - shifted)


def test_a_tiny_or_flat_image_is_described_without_a_warning():
    for image in (np.zeros((1, 1, 3), np.uint8), np.full((5, 3, 3), 255, np.uint8), stripes(9, edge=31)):
        assert describe(image).shape == (41,)
        assert np.isfinite(describe(image)).all()


def test_shrinking_averages_whole_blocks_and_keeps_small_images():
    image = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
    assert shrink(image, edge_px=6) is image
    assert np.array_equal(shrink(image, edge_px=3), np.round(image.reshape(2, 2, 3, 2, 3).mean(axis=(1, 3))).astype(np.uint8))
    assert shrink(np.zeros((4096, 2048, 3), np.uint8), edge_px=128).shape == (128, 64, 3)
