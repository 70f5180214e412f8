"""Tiles that are not stored, read from their slides whenever they are asked for: the format `none`.

Decoders are C libraries, and whoever trains for days must not end with a slide that one of them crashes on. Each thread that asks for tiles has a
process of its own that reads them; where that crashes or hangs it is started once more for the same tile, and then the slide is named. What this
costs is sending the pixels over: `benchmarks/tiles/unstored.py`.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections import OrderedDict
from collections.abc import Mapping
from contextlib import nullcontext
from functools import cached_property, partial
from pathlib import Path

import numpy as np

from hdgan.errors import BadInput
from hdgan.progress import SILENT, Progress
from hdgan.slides.content import content_hash
from hdgan.slides.protocol import SlideReader
from hdgan.slides.pseudonyms import Pseudonyms, hiding
from hdgan.slides.reader import open_slide
from hdgan.slides.table import SlideEntry
from hdgan.store.archive import TileArchive, TileRow
from hdgan.store.stage import read_manifest
from hdgan.tiles.config import TilesConfig
from hdgan.tiles.crew import INLINE, Crew, Job
from hdgan.tiles.keys import find_entries, finished_pseudonyms
from hdgan.tiles.pool import ProcessCrew

_OPEN_AT_ONCE = 4
"""Slides that one thread holds open: a handle takes some ten MiB."""


def open_tiles(folder: Path, config: TilesConfig, *, base: Path) -> TileArchive:
    """The archive of a finished tiles stage; tiles that are not stored are read from the slides of `config` (relative ones start at `base`)."""
    return TileArchive(folder, SlideTiles(config, base=base, folder=folder))


class SlideTiles:
    """Called with a row of the index, the pixels of its tile, `[S, S, 3]` uint8, from the slide.

    They are read by a process for each thread that asks, and here where the settings say `workers = 0` or this process is one that ends with its parent
    (`daemon`), which may have none itself: whoever started it sees it end.

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
            BadInput: its slide is missing, damaged there, or another one than was cut, or its reader crashes or hangs, twice.
        """
        with nullcontext() if self._pseudonyms is None else hiding([self._entry(row.slide)]):
            entry = self._checked_entry(row.slide)
            (outcome,) = self._crew().run([Job(str(entry.path), read_tile, (entry.path, entry.mpp, row))])
            if outcome.problem is not None:
                raise outcome.problem
            assert outcome.value is not None, "a job has a value or a problem"
            return outcome.value

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

    def _crew(self) -> Crew:
        """Who reads for this thread of this process."""
        held: tuple[int, Crew] | None = getattr(self._local, "held", None)
        if held is None or held[0] != os.getpid():
            is_here = self.config.workers == 0 or multiprocessing.current_process().daemon
            held = self._local.held = (os.getpid(), INLINE if is_here else ProcessCrew(1, max_silence_s=self.config.max_silence_s))
        return held[1]

    def _entry(self, name: str) -> SlideEntry:
        if name not in self._entries:
            raise BadInput(
                self.folder, f"slide {name} is not among those of the settings", "put it back, or cut the tiles again with --redo"
            )
        return self._entries[name]

    def _checked_entry(self, name: str) -> SlideEntry:
        """The slide, which is the one that was cut."""
        entry = self._entry(name)
        if name not in self._checked:
            if content_hash(entry.path) != self._known.get(f"slide {name}"):
                raise BadInput(
                    entry.path, "is another file than the slide that was cut", "put that one back, or cut the tiles again with --redo"
                )
            self._checked.add(name)
        return entry


class _OpenSlides(threading.local):
    """The slides that a thread holds open, the last used last."""

    def __init__(self) -> None:
        self.process = os.getpid()
        self.slides: OrderedDict[tuple[object, ...], SlideReader] = OrderedDict()

    def get(self, path: Path, mpp: float | None) -> SlideReader:
        """The open slide; handles of before a fork are left alone."""
        if self.process != os.getpid():
            self.process, self.slides = os.getpid(), OrderedDict()
        state = path.stat() if path.exists() else None  # a file that was put in the place of another is opened anew
        key = (path, mpp) if state is None else (path, mpp, state.st_ino, state.st_size, state.st_mtime_ns)
        if key not in self.slides:
            self.slides[key] = open_slide(path, mpp_override=mpp)
            if len(self.slides) > _OPEN_AT_ONCE:
                self.slides.popitem(last=False)[1].close()
        self.slides.move_to_end(key)
        return self.slides[key]


_open_slides = _OpenSlides()


def read_tile(path: Path, mpp: float | None, row: TileRow, *, progress: Progress = SILENT) -> np.ndarray:
    """The tile of `row` from the slide at `path`, `[S, S, 3]` uint8; slides stay open for the next one.

    Raises:
        BadInput: the slide cannot be opened, or is damaged there.
    """
    return read_region(path, mpp, (row.x_px, row.y_px), row.level0_px, row.size_px, progress=progress)


def read_region(
    path: Path,
    mpp: float | None,
    xy: tuple[int, int],
    level0_size: int | tuple[int, int],
    out_px: int | tuple[int, int],
    *,
    progress: Progress = SILENT,
) -> np.ndarray:
    """The region that `SlideReader.read` takes, of the slide at `path`; slides stay open for the next one.

    Raises:
        BadInput: the slide cannot be opened, or is damaged there.
    """
    del progress
    return opened_slide(path, mpp).read(xy, level0_size=level0_size, out_px=out_px)


def opened_slide(path: Path, mpp: float | None) -> SlideReader:
    """The slide at `path`, which this thread holds open; `mpp` (um/px of level 0) goes before what the file states.

    Raises:
        BadInput: it cannot be opened.
    """
    return _open_slides.get(path, mpp)
