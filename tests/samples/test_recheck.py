from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hdgan.errors import BadInput
from hdgan.samples.config import SamplesConfig
from hdgan.samples.recheck import ROUNDING_SHARE, compare, recheck
from hdgan.samples.stage import fill_bank
from hdgan.store.atomic import write_png
from hdgan.store.bank import SampleBank
from hdgan.store.hashing import hash_array
from tests.samples.fake import FakeGenerator

IMAGE = np.random.default_rng(1).integers(1, 250, (40, 50, 3), dtype=np.uint8)


@pytest.fixture
def bank(tmp_path):
    return fill_bank(FakeGenerator(resolution=32), SamplesConfig(num=4, shortlist=2), out=tmp_path / "bank", seed=0)


def moved(num, levels):
    image = IMAGE.copy()
    image.reshape(-1, 3)[:num, 0] += np.uint8(levels)
    return image


@given(st.integers(1, 2000))
def test_rounding_is_one_grey_level_on_at_most_the_stated_share(num):
    verdict = compare(moved(num, 1), IMAGE)
    assert verdict.outcome == ("rounding" if num / 2000 <= ROUNDING_SHARE else "different")
    assert (verdict.worst_level, verdict.share_changed) == (1, num / 2000)


def test_equal_images_are_identical_and_two_levels_are_different():
    assert compare(IMAGE, IMAGE.copy()).outcome == "identical"
    verdict = compare(moved(1, 2), IMAGE)
    assert verdict.outcome == "different"
    assert not verdict.is_usable
    assert verdict.reason == "0.0500% of the pixels moved, by at most 2 grey levels"
    assert compare(IMAGE[:20], IMAGE).outcome == "different"
    assert compare(IMAGE, moved(3, 1)) == compare(moved(3, 1), IMAGE)


def test_every_sample_of_a_bank_is_identical_when_rendered_again(bank):
    assert [recheck(FakeGenerator(resolution=32), bank, i).outcome for i in range(4)] == ["identical"] * 4


def test_a_generator_that_rounds_otherwise_is_rounding_and_names_the_share(bank):
    generator = FakeGenerator(resolution=32)

    def spoil(image):
        image[0, :, 0, 0] -= 1.0 / 127.5
        return image

    generator.spoil = spoil
    verdict = recheck(generator, bank, 0)
    assert verdict.outcome == "rounding"
    assert verdict.is_usable
    assert verdict.share_changed == 1 / 1024


def test_another_generator_or_other_pixels_are_different(bank):
    assert "was drawn by generator fake-1, this is fake-2" in recheck(FakeGenerator(resolution=32, content_hash="fake-2"), bank, 0).reason
    noisy = FakeGenerator(resolution=32)
    noisy.spoil = lambda image: image + 0.02
    assert recheck(noisy, bank, 0).outcome == "different"
    assert recheck(FakeGenerator(resolution=16), bank, 0).reason == "the rendered image has shape (16, 16, 3), the stored one (32, 32, 3)"
    noisy.spoil = lambda image: image * float("nan")
    with pytest.raises(BadInput, match="sample 000000"):
        recheck(noisy, bank, 0)


def test_a_swapped_image_is_found_by_its_hash(bank):
    shutil.copy(bank.folder / "images" / "000002.png", bank.folder / "images" / "000001.png")
    verdict = recheck(FakeGenerator(resolution=32), bank, 1)
    assert verdict.outcome == "different"
    assert "stored image 000001 has changed" in verdict.reason


def test_a_neighbours_latent_is_found_by_its_hash_and_by_its_pixels(bank):
    w = np.array(np.load(bank.folder / "w.npy"))
    w[1] = w[2]
    np.save(bank.folder / "w.npy", w)
    assert "stored latent of 000001 has changed" in recheck(FakeGenerator(resolution=32), SampleBank(bank.folder), 1).reason
    rows = json.loads((bank.folder / "samples.json").read_text())
    rows["samples"][1]["latent_hash"] = hash_array(w[1])
    (bank.folder / "samples.json").write_text(json.dumps(rows))
    verdict = recheck(FakeGenerator(resolution=32), SampleBank(bank.folder), 1)
    assert verdict.outcome == "different"
    assert verdict.share_changed > 0.5


def test_a_truncation_that_is_slightly_off_is_different(bank):
    w = np.array(np.load(bank.folder / "w.npy")) * np.float32(0.71 / 0.7)
    np.save(bank.folder / "w.npy", w)
    rows = json.loads((bank.folder / "samples.json").read_text())
    for row, latent in zip(rows["samples"], w, strict=True):
        row["latent_hash"] = hash_array(latent)
    (bank.folder / "samples.json").write_text(json.dumps(rows))
    assert recheck(FakeGenerator(resolution=32), SampleBank(bank.folder), 0).outcome == "different"


def test_an_image_saved_anew_with_equal_pixels_is_still_identical(bank):
    write_png(bank.folder / "images" / "000000.png", bank.image(0))
    assert recheck(FakeGenerator(resolution=32), bank, 0).outcome == "identical"
