from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from hdgan.store.jpeg_segments import BareStreams, bare

PIXELS = np.random.default_rng(0).integers(0, 256, (48, 40, 3), dtype=np.uint8)
TEXT = b"Zebedee"


def encoded(**options) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(PIXELS).save(buffer, format="JPEG", quality=90, **options)
    return buffer.getvalue()


def segment(marker: int, body: bytes) -> bytes:
    return bytes([0xFF, marker]) + (len(body) + 2).to_bytes(2, "big") + body


def decoded(stream: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(stream)))


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_blocks": 2}, {"subsampling": 0}])
def test_a_stream_without_text_stays_byte_by_byte(options):
    stream = encoded(**options)
    assert bare(stream) == stream


@pytest.mark.parametrize("options", [{}, {"progressive": True}])
def test_comments_and_application_data_go_and_no_pixel_changes(options):
    plain = encoded(**options)
    noted = encoded(**options, comment=TEXT, exif=b"Exif\0\0" + TEXT)
    last_scan = noted.rindex(b"\xff\xda")
    noted = noted[:last_scan] + segment(0xFE, TEXT) + b"\xff" + segment(0xE1, TEXT) + noted[last_scan:] + TEXT
    assert TEXT in noted
    assert TEXT not in bare(noted)
    assert np.array_equal(decoded(bare(noted)), decoded(plain))


def test_what_says_how_colours_are_meant_stays_unless_something_is_hung_onto_it():
    adobe = segment(0xEE, b"Adobe\0d\0\0\0\0\1")
    plain = encoded()
    assert b"JFIF\0" in bare(plain)
    assert bare(plain[:2] + adobe + plain[2:]) == plain[:2] + adobe + plain[2:]
    for more in (segment(0xEE, b"Adobe\0d\0\0\0\0\1" + TEXT), segment(0xE0, b"JFIF\0" + TEXT * 2)):
        assert bare(plain[:2] + more + plain[2:]) == plain


def test_tables_alone_are_a_stream_and_what_is_none_is_refused():
    tables = b"\xff\xd8" + segment(0xDB, b"\0" + bytes(64)) + b"\xff\xd9"
    assert bare(tables[:2] + segment(0xFE, TEXT) + tables[2:]) == tables
    for wrong in (b"", TEXT, b"\xff\xd8", b"\xff\xd8" + TEXT, tables[:20], b"\xff\xd8\xff\xdb\0\1"):
        with pytest.raises(ValueError, match="JPEG stream"):
            bare(wrong)


def test_data_whose_end_is_not_marked_is_left_to_the_decoder():
    stream = encoded()[:-2]
    assert bare(stream) == stream


@given(st.lists(st.tuples(st.integers(0, 15), st.binary(max_size=40)), max_size=4), st.binary(max_size=40))
def test_a_stream_made_bare_is_bare_and_never_longer(segments, tail):
    plain = encoded()
    noted = plain[:2] + b"".join(segment(0xE0 + number, body) for number, body in segments) + plain[2:] + tail
    found = bare(noted)
    assert bare(found) == found
    assert len(found) <= len(noted)
    assert decoded(found).shape == PIXELS.shape


@given(st.lists(st.sampled_from(range(12)), max_size=20), st.integers(0, 2000), st.binary(max_size=3))
def test_stream_after_stream_comes_out_as_each_alone(order, place, patch):
    plain, noted = encoded(), encoded(comment=TEXT)
    others = [encoded(progressive=True), encoded(restart_marker_blocks=2), plain[:2] + b"\xff\xd9"]
    damaged = [stream[:place] + patch + stream[place + len(patch) :] for stream in (plain, noted)]
    cut = [plain[:-2], plain[:-1], plain + TEXT, plain[:place], plain[:2] + b"\xff" + plain[2:]]
    streams = [plain, noted, *others, *damaged, *cut]
    again = BareStreams()
    for number in order:
        try:
            expected = bare(streams[number])
        except ValueError as error:
            with pytest.raises(ValueError, match=str(error)):
                again(streams[number])
        else:
            assert again(streams[number]) == expected
