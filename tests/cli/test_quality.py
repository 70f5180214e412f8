from __future__ import annotations

from tests.measures.test_encoder import export, network
from tests.pipeline.test_curve import ROWS, write_stats
from tests.pipeline.test_held_out import give_pairs
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
    assert "copies: 0.0% (95 % interval 0.0 to 20.6) of the samples are nearer to a training crop than" in lines[6]
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


def test_a_held_out_set_has_a_table_of_its_own_and_a_second_limit_of_copies(hdgan, tmp_path):
    root = write_run(tmp_path, config={})
    give_pairs(root, sizes={"test": 8}, most=0.9)
    code, out, error = hdgan("quality", root, "--num", 16, "--held-out", "test", "--may-show", "p0")
    assert code == 0, error
    lines = out.splitlines()
    assert lines[4].endswith(" pairs of the held-out set test, and as many of all others, 2 times, none more than 90% white")
    assert [line[:29].strip() for line in lines[6:10]] == [
        "samples",
        "other crops of the same tiles",
        "held-out set",
        "samples to held-out set",
    ]
    assert "of real crops to tiles that they are not from" in lines[10]
    assert "of the held-out set (of " in lines[11]
    assert lines[11].endswith(" crops: one of them decides; a smaller stride_px of the set gives more)")
    assert (root / "quality" / "samples-psi-1.00.png").exists()


def test_the_blind_sheet_is_written_and_scored_and_the_curve_drawn(hdgan, refused, tmp_path):
    root = write_run(tmp_path, config={})
    code, out, error = hdgan("quality", root, "--blind", "--may-show", "p0", "--attribution", "A. Painter")
    assert code == 0, error
    assert out.splitlines()[0] == f"written: {root / 'quality' / 'blind.png'}"
    assert not (root / "quality" / "psi-1.00.json").exists()
    (tmp_path / "answers.csv").write_text("number,answer\n" + "".join(f"{i},real\n" for i in range(1, 33)))
    code, out, error = hdgan("quality", root, "--score-blind", tmp_path / "answers.csv")
    assert code == 0, error
    assert out.splitlines() == [
        "16 of 32 right: 50% (95 % interval 32% to 68%; guessing: 50%)",
        "0 real crops were taken for drawn, 16 drawn ones for real; 0 without an answer",
    ]
    write_stats(root, ROWS)
    code, out, error = hdgan("quality", root, "--curve")
    assert code == 0, error
    assert out.splitlines()[0] == f"written: {root / 'quality' / 'training.png'}"
    assert "three things" in refused("quality", root, "--curve", "--blind")
    assert "needs --blind" in refused("quality", root, "--attribution", "A. Painter")
    assert "with --may-show" in refused("quality", root, "--blind")
