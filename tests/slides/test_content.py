from __future__ import annotations

import hashlib

import pytest

from hdgan.errors import BadInput
from hdgan.slides import content
from hdgan.slides.content import content_hash


def test_a_small_slide_is_hashed_whole(tmp_path):
    (tmp_path / "a.svs").write_bytes(b"slide")
    assert content_hash(tmp_path / "a.svs") == "sha256:" + hashlib.sha256(b"slide").hexdigest()


@pytest.mark.parametrize("changed", [0, 2_000_000, 3_999_999])
def test_a_large_slide_is_known_by_size_head_middle_and_tail(tmp_path, monkeypatch, changed):
    monkeypatch.setattr(content, "_WHOLE_UP_TO", 1 << 20)
    data = bytearray(4_000_000)
    (tmp_path / "a.svs").write_bytes(data)
    before = content_hash(tmp_path / "a.svs")
    assert before.startswith("sampled:")
    data[changed] = 1
    (tmp_path / "a.svs").write_bytes(data)
    assert content_hash(tmp_path / "a.svs") != before
    (tmp_path / "a.svs").write_bytes(bytes(3_999_999))
    assert content_hash(tmp_path / "a.svs") != before


def test_the_data_files_of_a_mirax_slide_count(tmp_path):
    (tmp_path / "a.mrxs").write_bytes(b"x")
    alone = content_hash(tmp_path / "a.mrxs")
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "Data0000.dat").write_bytes(b"12345")
    with_data = content_hash(tmp_path / "a.mrxs")
    (tmp_path / "a" / "Data0000.dat").write_bytes(b"123456")
    assert len({alone, with_data, content_hash(tmp_path / "a.mrxs")}) == 3


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(BadInput, match="cannot be read"):
        content_hash(tmp_path / "none.svs")
