"""A slide that a process of its own opens and reads: a decoder that crashes or hangs on it costs a line, and not the training that asked for its pixels."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hdgan.progress import SILENT, Progress
from hdgan.slides.protocol import Level
from hdgan.tiles.crew import INLINE, Crashed, Crew, Job, Value
from hdgan.tiles.live import opened_slide, read_region
from hdgan.tiles.pool import MAX_SILENCE_S, ProcessCrew
from hdgan.types import Mpp


@dataclass(frozen=True)
class Header:
    """What a `SlideReader` says of its slide."""

    path: Path
    vendor: str
    reader: str
    reason: str
    size_px: tuple[int, int]
    objective: float | None
    mpp: Mpp | None
    stated_mpp: Mpp | None
    levels: tuple[Level, ...]


class ApartSlide:
    """A `SlideReader` whose file this process never opens. To be closed, which ends the other process.

    In a process that ends with its parent (`daemon`), which may have none itself, it reads here.
    """

    def __init__(self, path: Path, *, mpp_override: float | None = None, max_silence_s: float = MAX_SILENCE_S) -> None:
        """Opens the slide at `path`, as `hdgan.slides.reader.open_slide` does.

        Raises:
            BadInput: it cannot be opened, or its reader crashes or says nothing for `max_silence_s` seconds, twice.
        """
        self.path = path
        self._mpp_override = mpp_override
        self._processes = None if multiprocessing.current_process().daemon else ProcessCrew(1, max_silence_s=max_silence_s)
        try:
            self._header = self._done(describe_slide, path, mpp_override)
        except BaseException:
            self.close()
            raise

    @property
    def vendor(self) -> str:
        """The format."""
        return self._header.vendor

    @property
    def reader(self) -> str:
        """What decodes its pixels."""
        return self._header.reader

    @property
    def reason(self) -> str:
        """Why that one."""
        return self._header.reason

    @property
    def size_px(self) -> tuple[int, int]:
        """Width and height of level 0."""
        return self._header.size_px

    @property
    def objective(self) -> float | None:
        """Magnification of the objective."""
        return self._header.objective

    @property
    def mpp(self) -> Mpp | None:
        """Scale of level 0 in um/px."""
        return self._header.mpp

    @property
    def stated_mpp(self) -> Mpp | None:
        """Scale of level 0 as the file states it."""
        return self._header.stated_mpp

    @property
    def levels(self) -> tuple[Level, ...]:
        """From finest to coarsest."""
        return self._header.levels

    def read(self, xy: tuple[int, int], *, level0_size: int | tuple[int, int], out_px: int | tuple[int, int]) -> np.ndarray:
        """The region, as `SlideReader.read` gives it.

        Raises:
            BadInput: as there, or the reader crashes or hangs over it, twice.
        """
        return self._done(read_region, self.path, self._mpp_override, xy, level0_size, out_px)

    def close(self) -> None:
        """Ends the process that reads."""
        if self._processes is not None:
            self._processes.__exit__(None, None, None)

    def _done(self, work: Callable[..., Value], *arguments: object) -> Value:
        crew: Crew = INLINE if self._processes is None else self._processes
        (outcome,) = crew.run([Job(str(self.path), work, arguments)])
        if isinstance(outcome.problem, Crashed):
            problem = outcome.problem
            raise Crashed(
                problem.where, problem.what, "convert the slide or copy it again; a process that was killed may have lacked memory"
            )
        if outcome.problem is not None:
            raise outcome.problem
        assert outcome.value is not None, "a job has a value or a problem"
        return outcome.value


def describe_slide(path: Path, mpp: float | None, *, progress: Progress = SILENT) -> Header:
    """What the slide at `path` says of itself; it stays open for what is read next.

    Raises:
        BadInput: it cannot be opened.
    """
    del progress
    slide = opened_slide(path, mpp)
    stated = (slide.size_px, slide.objective, slide.mpp, slide.stated_mpp, slide.levels)
    return Header(path, slide.vendor, slide.reader, slide.reason, *stated)
