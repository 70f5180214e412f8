from __future__ import annotations

import pytest

from hdgan.generator.weights import load_generator
from tests.generator.foreign.writers import networks, official, rosinality

SETTINGS = '[run]\nname = "small"\nseed = 7\n'
SETTINGS += '[tiles]\nslides = ["none"]\nmpp = 2.0\ntile_px = 16\n[generator]\nresolution = 16\n[samples]\nnum = 2\nshortlist = 1\n'


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "brecahad.pkl"
    path.write_bytes(official(*networks()))
    return path


def test_weights_become_one_file(source, hdgan, tmp_path):
    out = tmp_path / "new" / "brecahad.safetensors"
    code, said, error = hdgan("import-weights", source, out, "--mpp", "0.25")
    assert (code, error) == (0, "")
    assert said.startswith("stylegan2-ada-pytorch: 16 px, 3 channels, ")
    assert str(out) in said
    assert load_generator(out).mpp == 0.25
    code, _, error = hdgan("import-weights", source, out)
    assert code == 2
    assert "exists already; choose a new file" in error


def test_weights_become_the_generator_of_a_run_that_goes_on_from_there(source, hdgan, tmp_path):
    root, settings = tmp_path / "run", tmp_path / "settings.toml"
    settings.write_text(SETTINGS)
    code, _, error = hdgan("import-weights", source, root, "--config", settings)
    assert (code, error) == (0, "")
    code, said, error = hdgan("sample", root)
    assert code == 0, error
    assert said.startswith("samples: done in ")
    code, said, error = hdgan("verify", root)
    assert code == 0, error
    assert "2-generator: 2 files, as written" in said
    code, said, error = hdgan("run", settings, "--out", root, "--first", "samples", "--until", "samples")
    assert code == 0, error
    assert "samples" in said


def test_a_file_is_no_run(source, refused, tmp_path):
    assert "is a file; name the folder of a run" in refused("import-weights", source, source)


def test_notes_of_the_reader_are_told(hdgan, tmp_path):
    (tmp_path / "x.pt").write_bytes(rosinality(networks()[0], with_mean=False))
    code, said, _ = hdgan("import-weights", tmp_path / "x.pt", tmp_path / "run")
    assert code == 0
    assert "note: no mean latent is stored: it is the mean of 4096 latents" in said


def test_a_refused_file_is_one_line_that_says_why(refused, tmp_path):
    (tmp_path / "x.pkl").write_bytes(b"\x80\x04cos\nsystem\n.")
    line = refused("import-weights", tmp_path / "x.pkl", tmp_path / "run")
    assert "names os.system, which no readable checkpoint does (at byte 2); " in line
    assert not (tmp_path / "run").exists()


def test_a_discriminator_that_does_not_fit_can_be_left_out(hdgan, refused, tmp_path):
    def change(content):
        content["D"].state["_modules"].pop("b4")

    (tmp_path / "x.pkl").write_bytes(official(*networks(), change=change))
    assert "is no discriminator of ours: it lacks b4.conv.bias" in refused("import-weights", tmp_path / "x.pkl", tmp_path / "run")
    code, _, error = hdgan("import-weights", tmp_path / "x.pkl", tmp_path / "run", "--generator-only")
    assert (code, error) == (0, "")
    assert not (tmp_path / "run" / "2-generator" / "state").exists()
