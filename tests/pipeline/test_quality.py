from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from hdgan.errors import BadConfig, BadInput, DamagedArtifact
from hdgan.generator.networks import Generator
from hdgan.generator.spec import NetworkSpec
from hdgan.generator.weights import FILE, save_generator
from hdgan.measures.frechet import frechet_distance
from hdgan.pipeline import quality
from hdgan.pipeline import subject as subject_module
from hdgan.pipeline.quality import measure_quality
from hdgan.pipeline.subject import open_subject
from hdgan.store.archive import TileArchive, TileRow, write_archive
from hdgan.store.atomic import encode_png, read_image
from hdgan.store.layout import RunFolder
from hdgan.store.stage import open_stage, verify
from hdgan.testing.painter import paint
from hdgan.testing.tiny import tiny_network

SIZE_PX = 32


def labelled_network(num):
    """An untrained network that knows `num` labels."""
    torch.manual_seed(0)
    return Generator(NetworkSpec(resolution=SIZE_PX, z_dim=16, w_dim=16, channel_base=128, channel_max=16, label_dim=num))


def write_run(root, *, config, num_tiles=12, step_px=100, tile_px=48, inputs=None):
    """Painted tiles of three patients, and an untrained generator."""
    rows = []
    for i in range(num_tiles):
        pixels = paint(i, size_px=tile_px, mpp=2.0, outline="full").image
        patient = f"p{i % 3}"
        rows.append(
            (TileRow(f"{i:04d}.png", patient, patient, "a", "PAS", i % 3, i * step_px, 0, tile_px, tile_px, 2.0, 0.1), encode_png(pixels))
        )
    with open_stage(root / "1-tiles", stage="tiles", config={}, seed=0, inputs={}) as stage:
        write_archive(root / "1-tiles", rows)
        stage.seal(counts={})
    with open_stage(root / "2-generator", stage="generator", config=config, seed=0, inputs=inputs or {}) as stage:
        save_generator(root / "2-generator" / FILE, tiny_network(resolution=SIZE_PX), mpp=2.0, trained={})
        stage.seal(counts={})
    return root


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("run"), config={"held_out_fold": 2, "is_turned": True})


@pytest.fixture(scope="module")
def measured(run):
    return measure_quality(run, num=40, psi=1.0)


def test_an_untrained_generator_is_far_from_tissue_and_real_crops_are_not(measured):
    assert measured.samples.frechet > 5 * measured.floor.frechet
    assert measured.samples.kernel.mean > measured.floor.kernel.mean
    assert measured.samples.shares.coverage < 0.1 < measured.floor.shares.coverage
    assert measured.copies.share == 0


def test_the_held_out_fold_is_compared_and_not_taken_for_training_tiles(measured):
    assert measured.about["tiles"] == {"trained": 8, "compared": 8, "held_out": 4}
    assert measured.held_out.frechet < measured.samples_to_held_out.frechet


def test_it_is_written_beside_the_stages_and_the_stages_stay_as_they_were(run, measured):
    assert measured.path == run / "quality" / "psi-1.00.json"
    data = json.loads(measured.path.read_text())
    assert data["samples"]["frechet"] == measured.samples.frechet
    assert data["embedder"]["name"] == "scattering 32 px"
    assert [len(data["closest"]), data["copies"]["searched"]] == [8, 40]
    distances = [row["distance"] for row in data["closest"]]
    assert distances == sorted(distances)
    assert (run / "quality" / "psi-1.00.closest.png").exists()
    assert verify(run / "1-tiles") == verify(run / "2-generator") == []


def test_equal_calls_write_equal_bytes_and_another_truncation_another_file(run, measured):
    before = measured.path.read_bytes()
    assert measure_quality(run, num=40, psi=1.0).path.read_bytes() == before
    assert measure_quality(run, num=40, psi=0.5).path.name == "psi-0.50.json"
    assert measured.path.read_bytes() == before


class Copier:
    """A generator that has learnt its tiles by heart: it draws corners of tiles, turned by a quarter."""

    resolution, z_dim, content_hash = SIZE_PX, 4, "copier"

    def __init__(self, tiles):
        self.tiles = tiles

    def map(self, z, *, psi):
        return z

    def render(self, w):
        numbers = [int(abs(float(v)) * 1000) % len(self.tiles) for v in w[:, 0]]
        images = np.stack([np.rot90(self.tiles.read(i)[3 : 3 + SIZE_PX, 5 : 5 + SIZE_PX]) for i in numbers])
        return torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float() / 127.5 - 1


def test_a_generator_that_copies_its_tiles_is_found_out(run, monkeypatch, tmp_path):
    root = write_run(tmp_path, config={})
    monkeypatch.setattr(subject_module, "load_generator", lambda _path: Copier(TileArchive(root / "1-tiles")))
    found = measure_quality(root, num=30, psi=1.0)
    assert found.copies.share == 1
    assert found.held_out is None
    closest = json.loads(found.path.read_text())["closest"][0]
    assert (closest["x_px"], closest["y_px"]) == (5, 3)


def test_where_all_tiles_overlap_no_copies_are_looked_for(tmp_path):
    root = write_run(tmp_path, config={"is_turned": False}, num_tiles=2, step_px=0, tile_px=40)
    # Of two patients: each is left out alone, the other stays to be compared with.
    assert measure_quality(root, num=16, psi=1.0).copies is not None
    single = write_run(tmp_path / "single", config={}, num_tiles=1)
    found = measure_quality(single, num=16, psi=1.0)
    assert found.copies is None
    assert "copies" not in json.loads(found.path.read_text())


def test_the_first_samples_are_shown_under_their_numbers_and_none_is_left_out(run, measured):
    sheet = read_image(run / "quality" / "samples-psi-1.00.png")
    assert sheet.shape == (6 * (128 + 18 + 4) + 4, 6 * (128 + 4) + 4, 3)
    drawn = open_subject(RunFolder(run), seed=0).drawing(psi=1.0)(0, 36)
    for number, image in enumerate(drawn):
        row, column = divmod(number, 6)
        top, left = 4 + 18 + row * 150, 4 + column * 132
        np.testing.assert_allclose(sheet[top : top + 128 : 4, left : left + 128 : 4].astype(int), image, atol=1)


def test_only_crops_of_slides_that_may_be_shown_are_shown(tmp_path):
    root = write_run(tmp_path, config={"is_turned": False})
    found = measure_quality(root, num=30, psi=1.0, may_show=["p1"])
    data, sheet = json.loads(found.path.read_text()), read_image(found.path.with_suffix(".closest.png"))
    tiles, shown = TileArchive(root / "1-tiles"), data["shown"]["closest"]
    assert data["shown"]["slides"] == ["p1"]
    assert shown
    assert len(data["closest"]) == 8
    names = [row.name for row in tiles.rows]
    for i, row in enumerate(shown):
        assert tiles.rows[names.index(row["tile"])].slide == "p1"
        top, left = 4 + (i // 2) * (SIZE_PX + 4), 4 + (2 * (i % 2) + 1) * (SIZE_PX + 4)
        crop = tiles.read(names.index(row["tile"]))[row["y_px"] : row["y_px"] + SIZE_PX, row["x_px"] : row["x_px"] + SIZE_PX]
        assert np.array_equal(sheet[top : top + SIZE_PX, left : left + SIZE_PX], crop)
    with pytest.raises(BadConfig, match="no tile is from a slide 'p9'"):
        measure_quality(root, num=16, psi=1.0, may_show=["p9"])


def test_a_sheet_of_what_may_not_be_shown_does_not_stay(tmp_path, monkeypatch):
    root = write_run(tmp_path, config={"is_turned": False})
    found = measure_quality(root, num=16, psi=1.0)
    sheet, data = found.path.with_suffix(".closest.png"), json.loads(found.path.read_text())
    assert sheet.exists()
    assert "shown" not in data
    monkeypatch.setattr(subject_module, "load_generator", lambda _path: Copier(FirstOnly(TileArchive(root / "1-tiles"))))
    again = measure_quality(root, num=16, psi=1.0, may_show=["p1"])
    assert json.loads(again.path.read_text())["shown"]["closest"] == []
    assert not sheet.exists()


class FirstOnly:
    """The first tile of an archive, which is of p0."""

    def __init__(self, tiles):
        self.tiles = tiles

    def __len__(self):
        return 1

    def read(self, index):
        return self.tiles.read(index)


def test_weights_that_began_elsewhere_may_have_seen_more_than_these_tiles(run, measured, tmp_path):
    assert "remarks" not in json.loads(measured.path.read_text())
    root = write_run(tmp_path, config={"is_turned": False}, inputs={"init_from": "0"})
    found = measure_quality(root, num=16, psi=1.0)
    (line,) = json.loads(found.path.read_text())["remarks"]
    assert "are not searched for copies" in line


def test_a_label_that_the_held_out_fold_has_not_is_told(tmp_path):
    root = write_run(tmp_path, config={"held_out_fold": 2})
    labels = {"by": "patient", "names": ["p0", "p1"], "counts": [4, 4]}
    save_generator(root / "2-generator" / FILE, labelled_network(2), mpp=2.0, trained={"conditions": labels})
    assert open_subject(RunFolder(root), seed=0).remarks == ()
    subject = open_subject(RunFolder(root), seed=0, condition="p1")
    assert subject.held_out == []
    assert subject.remarks == ("no tile of the held-out fold has the patient 'p1': it is compared with nothing; leave --condition out",)


def test_labels_that_differ_in_signs_or_are_not_in_latin_letters_have_files_of_their_own(run):
    subject = open_subject(RunFolder(run), seed=0)
    named = {label: replace(subject, condition=label).file_name("psi-1.00") for label in ("CD3+", "CD3-", "ШИК", "ГЭ", "biopsy-a", "HE")}
    assert len(set(named.values())) == len(named)
    assert (named["biopsy-a"], named["HE"]) == ("psi-1.00.biopsy-a", "psi-1.00.he")
    assert all(name.isascii() and not name.endswith((".", "-")) for name in named.values())


def test_a_run_without_tiles_or_weights_is_refused(run, tmp_path):
    with pytest.raises(BadInput, match="has not been finished"):
        measure_quality(tmp_path, num=16, psi=1.0)
    root = write_run(tmp_path, config={})
    (root / "2-generator" / FILE).unlink()
    with pytest.raises(DamagedArtifact):
        measure_quality(root, num=16, psi=1.0)


class Means:
    """Mean colours, compared as they are."""

    name, content_hash, num_features, has_common_unit = "mean colours (test)", "0", 3, True

    def embed(self, images):
        return images.mean(axis=(1, 2), dtype=np.float32)


def test_another_embedder_is_written_beside_ours_and_compares_features_as_they_are(run, measured):
    before = measured.path.read_bytes()
    found = measure_quality(run, num=40, psi=1.0, embedder=Means())
    assert found.path.name == "psi-1.00.mean-colours-test.json"
    assert measured.path.read_bytes() == before
    subject = open_subject(RunFolder(run), seed=0)
    real = Means().embed(subject.crops(subject.trained).pictures(quality._REAL, 40))
    drawn = Means().embed(subject.drawing(psi=1.0)(0, 40))
    assert found.samples.frechet == pytest.approx(frechet_distance(drawn, real), rel=1e-6)


def test_crops_are_mirrored_and_turned_as_in_the_training(tmp_path):
    write_run(tmp_path, config={"is_turned": False, "flips": "both", "is_quarter_turned": True}, tile_px=SIZE_PX)
    subject = open_subject(RunFolder(tmp_path), seed=0)
    tile = subject.tiles.read(subject.trained[0]).tobytes()
    views = {crop.tobytes() for crop in subject.crops(subject.trained[:1]).pictures(0, 60)}
    assert len(views) == 8
    assert tile in views
    write_run(tmp_path / "plain", config={"is_turned": False}, tile_px=SIZE_PX)
    subject = open_subject(RunFolder(tmp_path / "plain"), seed=0)
    assert {crop.tobytes() for crop in subject.crops(subject.trained[:1]).pictures(0, 9)} == {tile}
