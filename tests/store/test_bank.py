from __future__ import annotations

import resource
import signal

import numpy as np
import pytest

from hdgan.errors import BadInput, DamagedArtifact, OutOfSpace
from hdgan.store.atomic import read_json, write_json, write_png
from hdgan.store.bank import SampleBank, SampleRow, sample_name, write_index, write_latents
from hdgan.store.hashing import hash_array


def image(index: int) -> np.ndarray:
    return np.random.default_rng(index).integers(0, 255, (8, 8, 3), dtype=np.uint8)


@pytest.fixture
def bank(tmp_path) -> SampleBank:
    w = np.random.default_rng(9).normal(size=(3, 5)).astype(np.float32)
    write_latents(tmp_path, z=w[:, :4].astype(np.float64), w=w)
    for i in range(3):
        write_png(tmp_path / "images" / f"{sample_name(i)}.png", image(i))
    rows = [SampleRow(i, sample_name(i), 1, hash_array(image(i)), hash_array(w[i]), "g", 0.7) for i in range(3)]
    write_index(tmp_path, rows, mpp=0.5, resolution=8)
    return SampleBank(tmp_path)


def test_images_and_latents_still_have_the_hashes_of_their_rows(bank):
    assert (len(bank), bank.mpp, bank.resolution) == (3, 0.5, 8)
    for row in bank.rows:
        assert hash_array(bank.image(row.index)) == row.image_hash
        assert hash_array(bank.latent(row.index)) == row.latent_hash
        assert bank.by_name(row.name) == bank.row(row.index) == row
    assert np.load(bank.folder / "z.npy").dtype == np.float32


def test_a_sample_that_is_not_there_is_refused_with_those_that_are(bank):
    with pytest.raises(BadInput, match="000000 to 000002"):
        bank.by_name("000003")


def test_an_index_of_another_schema_or_shape_is_refused(bank):
    path = bank.folder / "samples.json"
    data = read_json(path)
    write_json(path, data | {"schema": 9})
    with pytest.raises(BadInput, match="schema 9"):
        SampleBank(bank.folder)
    write_json(path, data | {"samples": [{"index": 0}]})
    with pytest.raises(DamagedArtifact, match="no list of samples"):
        SampleBank(bank.folder)


def test_latents_that_do_not_fit_on_the_disk_are_one_clear_line(tmp_path):
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(OutOfSpace, match="no space left"):
            write_latents(tmp_path, z=np.zeros((500, 9)), w=np.zeros((500, 9)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert list(tmp_path.iterdir()) == []
