from __future__ import annotations

import shutil

import numpy as np
import pytest

from hdgan.dataset.config import DatasetConfig
from hdgan.dataset.screen import num_candidates
from hdgan.dataset.write import DROPPED, PAIRS, PARTS, fill_folder, read_rows
from hdgan.errors import BadInput, DamagedArtifact
from hdgan.measures.calibration import image_score
from hdgan.randomness import stream
from hdgan.store.atomic import read_image, read_mask
from hdgan.store.hashing import hash_array
from hdgan.store.pairs import PairFolder

from .stripes import CLASSES, Stripes

CONFIG = DatasetConfig(num=18, shard=4, uncertainty_maps=True)


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    out = tmp_path_factory.mktemp("pairs")
    return out, fill_folder(Stripes(), CONFIG, out=out, seed=4)


def test_rows_and_files_agree_and_every_pair_can_be_drawn_again(filled):
    out, screened = filled
    folder = PairFolder(out)
    assert folder.stems == tuple(row.stem for row in screened.pairs)
    assert len(folder) == 18
    for row in screened.pairs:
        found = Stripes()(stream(4, "dataset.z", row.candidate).standard_normal(4, dtype=np.float32))
        assert (row.latent_hash, row.image_hash) == (hash_array(found.w), hash_array(found.image))
        np.testing.assert_array_equal(folder.image(row.stem), found.image)
        assert row.mask_hash == hash_array(folder.mask(row.stem))
        assert row.uncertainty == image_score(found.uncertainty, top_share=0.1)
        assert row.shares == pytest.approx([(found.mask == 0).mean(), (found.mask == 1).mean(), 0])


def test_the_dropped_are_the_most_uncertain_and_their_files_are_gone(filled):
    out, screened = filled
    assert len(screened.dropped) == num_candidates(18, 0.1) - 18 == 2
    assert min(row.uncertainty for row in screened.dropped) >= max(row.uncertainty for row in screened.pairs)
    for row in screened.dropped:
        assert not list(out.glob(f"*/{row.stem}.png"))
    assert len(list((out / "uncertainty").iterdir())) == 18
    assert not (out / PARTS).exists()


def test_tables_read_back_as_written(filled):
    out, screened = filled
    assert read_rows(out / PAIRS, CLASSES) == screened.pairs
    assert read_rows(out / DROPPED, CLASSES) == screened.dropped


def test_a_table_that_was_cut_or_is_of_other_classes_is_refused(filled, tmp_path):
    text = (filled[0] / PAIRS).read_text()
    (tmp_path / PAIRS).write_text(text[:-90])
    with pytest.raises(DamagedArtifact, match="no table of pairs"):
        read_rows(tmp_path / PAIRS, CLASSES)
    (tmp_path / PAIRS).write_text(text.replace("share: left", "share: top"))
    with pytest.raises(DamagedArtifact, match="its columns are"):
        read_rows(tmp_path / PAIRS, CLASSES)


def test_only_what_is_missing_is_drawn_again(tmp_path):
    class Breaks(Stripes):
        def __call__(self, z):
            if self.calls == 10:
                raise RuntimeError("power cut")
            return super().__call__(z)

    with pytest.raises(RuntimeError):
        fill_folder(Breaks(), CONFIG, out=tmp_path, seed=4)
    label = Stripes()
    fill_folder(label, CONFIG, out=tmp_path, seed=4)
    assert label.calls == 20 - 8  # two whole shards of four were done


def test_a_finished_folder_is_not_drawn_again(filled, tmp_path):
    shutil.copytree(filled[0], tmp_path / "copy")
    label = Stripes()
    assert fill_folder(label, CONFIG, out=tmp_path / "copy", seed=4) == filled[1]
    assert label.calls == 0


def test_pixels_above_the_threshold_are_ignored(tmp_path):
    config = DatasetConfig(num=3, drop_share=0, ignore_above=0.05)
    screened = fill_folder(Stripes(), config, out=tmp_path, seed=4)
    for row in screened.pairs:
        found = Stripes()(stream(4, "dataset.z", row.candidate).standard_normal(4, dtype=np.float32))
        mask = read_mask(tmp_path / "masks" / f"{row.stem}.png")
        np.testing.assert_array_equal(mask == 255, found.uncertainty > 0.05)
        assert row.ignored == pytest.approx(2 / 16)
        assert sum(row.shares) == pytest.approx(1 - 2 / 16)


def test_uncertainty_maps_reach_255_at_the_most_there_can_be(filled):
    out, screened = filled
    row = screened.pairs[0]
    found = Stripes()(stream(4, "dataset.z", row.candidate).standard_normal(4, dtype=np.float32))
    levels = read_image(out / "uncertainty" / f"{row.stem}.png")[..., 0]
    np.testing.assert_allclose(levels / 255 * np.log(3), found.uncertainty, atol=0.003)


def test_uncertainty_that_is_not_finite_is_refused(tmp_path):
    class Broken(Stripes):
        def __call__(self, z):
            found = super().__call__(z)
            return found._replace(uncertainty=np.full_like(found.uncertainty, np.nan))

    with pytest.raises(BadInput, match="candidate 0: its uncertainty is not finite"):
        fill_folder(Broken(), CONFIG, out=tmp_path, seed=4)
