from __future__ import annotations

from tests.measures.test_encoder import export, network
from tests.pipeline.test_quality import write_run


def test_the_samples_stand_beside_real_crops_in_a_table(hdgan, tmp_path):
    write_run(tmp_path, config={"held_out_fold": 1})
    code, out, error = hdgan("quality", tmp_path, "--num", 16, "--psi", 0.7)
    assert code == 0, error
    lines = out.splitlines()
    assert lines[0] == "16 samples at psi 0.7 and 16 crops of 8 training tiles, by scattering 32 px"
    assert [line[:29].strip() for line in lines[2:6]] == [
        "samples",
        "other crops of the same tiles",
        "held-out crops",
        "samples to held-out crops",
    ]
    assert all(len(line) == len(lines[1]) for line in lines[2:6])
    assert "copies: 0.0% of the samples are nearer to a training crop than" in lines[6]
    assert lines[7] == f"written: {tmp_path / 'quality' / 'psi-0.70.json'}"


def test_an_encoder_of_ones_own_is_named_and_a_missing_one_is_one_line(hdgan, refused, tmp_path):
    write_run(tmp_path, config={})
    encoder = export(tmp_path / "tiny.onnx", network())
    code, out, error = hdgan("quality", tmp_path, "--num", 16, "--encoder", encoder, "--encoder-input", "half")
    assert code == 0, error
    assert out.splitlines()[0].endswith("by tiny, half")
    assert out.splitlines()[-1] == f"written: {tmp_path / 'quality' / 'psi-1.00.tiny-half.json'}"
    assert "no such encoder" in refused("quality", tmp_path, "--num", 16, "--encoder", tmp_path / "none.onnx")


def test_a_folder_that_is_no_run_is_one_line(refused, tmp_path):
    assert "has not been finished" in refused("quality", tmp_path)
