"""Tiles that are not stored, read from their slides whenever they are asked for: the format `none`."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Mapping
from contextlib import nullcontext
from functools import cached_property, partial
from pathlib import Path

import numpy as np

from hdgan.errors import BadInput
from hdgan.slides.content import content_hash
from hdgan.slides.protocol import SlideReader
from hdgan.slides.pseudonyms import Pseudonyms, hiding
from hdgan.slides.reader import open_slide
from hdgan.slides.table import SlideEntry
from hdgan.store.archive import TileArchive, TileRow
from hdgan.store.stage import read_manifest
from hdgan.tiles.config import TilesConfig
from hdgan.tiles.keys import find_entries, finished_pseudonyms

_OPEN_AT_ONCE = 4
"""Slides that one thread holds open: a handle takes some ten MiB."""


def open_tiles(folder: Path, config: TilesConfig, *, base: Path) -> TileArchive:
    """The archive of a finished tiles stage; tiles that are not stored are read from the slides of `config` (relative ones start at `base`)."""
    return TileArchive(folder, SlideTiles(config, base=base, folder=folder))


class SlideTiles:
    """Called with a row of the index, the pixels of its tile, `[S, S, 3]` uint8, from the slide.

    A slide must be the one that was cut: its content is compared with that in the manifest in `folder`, once in each process. Slides
    are looked for by their names, or the pseudonyms that stand for these, when the first tile is asked for.
    """

    def __init__(self, config: TilesConfig, *, base: Path, folder: Path, contents: Mapping[str, str] | None = None) -> None:
        self.config = config
        self.base = base
        self.folder = folder
        self._contents = contents
        self._checked: set[str] = set()
        self._local = threading.local()

    def __reduce__(self) -> tuple[partial[SlideTiles], tuple[TilesConfig]]:
        """Worker processes open the slides themselves."""
        return (partial(SlideTiles, base=self.base, folder=self.folder, contents=self._contents), (self.config,))

    def __call__(self, row: TileRow) -> np.ndarray:
        """The tile of `row`.

        Raises:
            BadInput: its slide is missing, damaged there, or another one than was cut.
        """
        with nullcontext() if self._pseudonyms is None else hiding([self._entry(row.slide)]):
            return self._slide(row.slide).read((row.x_px, row.y_px), level0_size=row.level0_px, out_px=row.size_px)

    @cached_property
    def _pseudonyms(self) -> Pseudonyms | None:
        """Those under which the tiles were cut: the slide of a tile is known by its pseudonym alone."""
        return finished_pseudonyms(self.config, base=self.base, inputs=self._known)

    @cached_property
    def _entries(self) -> Mapping[str, SlideEntry]:
        return {entry.name: entry for entry in find_entries(self.config, base=self.base, pseudonyms=self._pseudonyms)}

    @cached_property
    def _known(self) -> Mapping[str, str]:
        """What the tiles were cut from: the content hash of each slide, and the fingerprint of the key where there was one."""
        return read_manifest(self.folder).inputs if self._contents is None else self._contents

    def _slide(self, name: str) -> SlideReader:
        """The open slide; each thread of each process has its own few."""
        held: tuple[int, OrderedDict[str, SlideReader]] | None = getattr(self._local, "held", None)
        if held is None or held[0] != os.getpid():
            held = self._local.held = (os.getpid(), OrderedDict())
        slides = held[1]
        if name not in slides:
            slides[name] = self._opened(name)
            if len(slides) > _OPEN_AT_ONCE:
                slides.popitem(last=False)[1].close()
        slides.move_to_end(name)
        return slides[name]

    def _entry(self, name: str) -> SlideEntry:
        if name not in self._entries:
            raise BadInput(
                self.folder, f"slide {name} is not among those of the settings", "put it back, or cut the tiles again with --redo"
            )
        return self._entries[name]

    def _opened(self, name: str) -> SlideReader:
        entry = self._entry(name)
        if name not in self._checked:
            if content_hash(entry.path) != self._known.get(f"slide {name}"):
                raise BadInput(
                    entry.path, "is another file than the slide that was cut", "put that one back, or cut the tiles again with --redo"
                )
            self._checked.add(name)
        return open_slide(entry.path, mpp_override=entry.mpp)
