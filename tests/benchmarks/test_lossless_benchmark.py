from __future__ import annotations

from .scripts import printed


def test_each_effort_is_counted_on_noise_and_tissue_and_our_codec_changes_nothing():
    lines = printed("tiles/lossless.py", "--images", 300, "--efforts", 1, 2)
    assert [line.split(":")[0] for line in lines[1:5]] == [f"{kind}, effort {effort}" for kind in ("noise", "tissue") for effort in (1, 2)]
    assert lines[-1] == "as we store them: 0 of 330 changed"
