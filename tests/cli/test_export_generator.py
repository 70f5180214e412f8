from __future__ import annotations

import pytest

from hdgan.testing.tiny import write_tiny_generator


@pytest.fixture
def root(tmp_path):
    write_tiny_generator(tmp_path / "run" / "2-generator")
    return tmp_path / "run"


def test_a_checked_onnx_file_is_written_and_its_ends_are_named(root, hdgan, tmp_path):
    code, out, error = hdgan("export-generator", root, tmp_path / "g.onnx", "--blocks", 1)
    assert code == 0, error
    assert (tmp_path / "g.onnx").stat().st_size > 1000
    assert "inputs w" in out
    assert "outputs image, b16.conv0, b16.conv1" in out
    assert "largest difference" in out


def test_a_file_that_exists_or_has_another_ending_is_refused(root, hdgan, tmp_path):
    (tmp_path / "g.onnx").write_text("mine")
    code, _, error = hdgan("export-generator", root, tmp_path / "g.onnx")
    assert code == 2
    assert "is there already" in error
    assert (tmp_path / "g.onnx").read_text() == "mine"
    code, _, error = hdgan("export-generator", root, tmp_path / "g.h5")
    assert code == 2
    assert "neither .onnx nor .pt2" in error


def test_a_file_that_onnxruntime_draws_otherwise_is_not_left_behind(root, hdgan, tmp_path, monkeypatch):
    monkeypatch.setattr("hdgan.generator.export.onnx_difference", lambda *_, **__: 0.5)
    code, _, error = hdgan("export-generator", root, tmp_path / "g.onnx", "--blocks", 1)
    assert code == 2
    assert "differ from ours by 0.5" in error
    assert not (tmp_path / "g.onnx").exists()


def test_a_small_generator_gives_the_maps_of_all_blocks_unless_fewer_are_asked_for(root, hdgan, refused, tmp_path):
    code, out, error = hdgan("export-generator", root, tmp_path / "g.pt2")
    assert code == 0, error
    assert "outputs image, b4.conv1, b8.conv0, b8.conv1, b16.conv0, b16.conv1" in out
    assert "--blocks: 9; this generator has 3 blocks" in refused("export-generator", root, tmp_path / "h.pt2", "--blocks", 9)
    assert not (tmp_path / "h.pt2").exists()


def test_a_run_without_a_generator_is_told_what_it_lacks(refused, tmp_path):
    assert "generator.safetensors: no such weights; train or import a generator first" in refused(
        "export-generator", tmp_path / "absent", tmp_path / "g.pt2"
    )
