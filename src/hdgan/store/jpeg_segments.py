"""JPEG streams without what people or programs wrote into them: comments, EXIF, XMP and other application data (ITU-T T.81, annex B).

What says how values become colours stays: the JFIF header without a thumbnail, and Adobe's (APP14).
"""

from __future__ import annotations

import re

_NEXT_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
"""In entropy-coded data 0xFF is followed by 0, and only restart markers interrupt it."""
_EOI, _SOS, _COM, _APP0, _APP14, _APP15 = 0xD9, 0xDA, 0xFE, 0xE0, 0xEE, 0xEF
_HEADERS = {_APP0: (b"JFIF\0", 14), _APP14: (b"Adobe", 12)}
"""How a header that stays begins, and how many bytes it has: longer ones carry more than that."""


def bare(stream: bytes) -> bytes:
    """The stream without text, and without what lies behind its end; the same bytes where there is none. Tables alone are a stream too.

    Raises:
        ValueError: it is no JPEG stream, or ends within a segment.
    """
    if stream[:2] != b"\xff\xd8":
        raise ValueError("does not begin as a JPEG stream")
    kept, at = [stream[:2]], 2
    while True:
        while stream[at : at + 2] == b"\xff\xff":  # fill bytes
            at += 1
        if stream[at : at + 1] != b"\xff" or at + 2 > len(stream):
            raise ValueError("ends within a JPEG stream")
        marker = stream[at + 1]
        if marker == _EOI:
            return b"".join([*kept, stream[at : at + 2]])
        end = at + 2 + int.from_bytes(stream[at + 2 : at + 4], "big")
        if end < at + 4 or end > len(stream):
            raise ValueError("ends within a segment of a JPEG stream")
        if marker == _SOS:  # with the data behind it
            found = _NEXT_MARKER.search(stream, end)
            if found is None:  # no end is marked: whether the data is whole is for the decoder to say
                return b"".join([*kept, stream[at:]])
            end = found.start()
        if not _is_text(marker, stream[at + 4 : end]):
            kept.append(stream[at:end])
        at = end


class BareStreams:
    """`bare` for stream after stream, with the header of the last one that came out as it was: most tiles of a slide have the same."""

    def __init__(self) -> None:
        self._header = b""

    def __call__(self, stream: bytes) -> bytes:
        """As `bare`.

        Raises:
            ValueError: as there.
        """
        header = self._header
        if header and stream.startswith(header):
            found = _NEXT_MARKER.search(stream, len(header))
            if found is not None and found.start() == len(stream) - 2 and stream[-1] == _EOI:
                return stream
        clean = bare(stream)
        if clean == stream:
            self._header = _up_to_scan(stream)
        return clean


def _up_to_scan(stream: bytes) -> bytes:
    """The stream up to its coded data, empty where it has none; a stream of which `bare` changes nothing."""
    at = 2
    while stream[at + 1] != _EOI:
        end = at + 2 + int.from_bytes(stream[at + 2 : at + 4], "big")
        if stream[at + 1] == _SOS:
            return stream[:end]
        at = end
    return b""


def _is_text(marker: int, body: bytes) -> bool:
    if marker in _HEADERS:
        begins, size = _HEADERS[marker]
        return not (body.startswith(begins) and len(body) == size)
    return marker == _COM or _APP0 < marker <= _APP15
