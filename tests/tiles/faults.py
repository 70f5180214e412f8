"""Jobs that go wrong, for workers to do: a worker imports what it is to do from here."""

from __future__ import annotations

import errno
import os
import signal
import sys
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

from hdgan.errors import BadInput, OutOfSpace
from hdgan.progress import beat
from hdgan.slides.reader import open_slide
from hdgan.tiles import apart, image_taking, inspection, live, plan, qc, rebuild, work

cut_part = work.cut_part
plan_entry = plan.plan_entry
thumbs_of = qc.thumbs_of
take_part = rebuild.take_part
report_slide, portray_slide = inspection.report_slide, inspection.portray_slide
take_image, count_values = image_taking.take_image, image_taking.count_values
read_tile, read_region = live.read_tile, live.read_region
describe_slide = apart.describe_slide


def double(number, *, progress):
    progress.advance()
    return 2 * number


def give_back(array, *, progress):
    return array


def tell_process(folder, *, progress):
    (Path(folder) / str(os.getpid())).touch()
    progress.say("here")
    time.sleep(0.05)
    return os.getpid()


def sleep_long(folder, *, progress):
    (Path(folder) / str(os.getpid())).touch()
    time.sleep(600)


def hang(mark, *, progress):
    """Does a step, then sleeps; a mark for each try."""
    progress.advance(2)
    with Path(mark).open("a") as file:
        file.write("x")
    time.sleep(600)


def work_slowly(seconds, *, progress):
    """Lives for some seconds without a step, and says so."""
    for _ in range(20):
        time.sleep(seconds / 20)
        beat(progress)
    return "done"


def hang_at_start(pipe):
    """A worker that never gets ready."""
    time.sleep(600)


def die(number, *, progress):
    progress.advance(3)
    progress.__dict__["_told"] = 0.0
    progress.advance()
    os.kill(os.getpid(), number)
    time.sleep(60)


def die_once(mark, *, progress):
    progress.advance(2)
    if not Path(mark).exists():
        Path(mark).touch()
        os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(60)
    return "done"


def leave(code, *, progress):
    os._exit(code)


def refuse(kind, *, progress):
    if kind == "input":
        raise BadInput("a.svs", "is broken", "mend it")
    if kind == "full":
        raise OutOfSpace("/x: no space left")
    if kind == "folder":
        raise PermissionError(errno.EACCES, "Permission denied", "/x")
    raise ZeroDivisionError("never")


def serve_not(pipe):
    """A worker that cannot start."""
    sys.exit(3)


def cut_but_for_bad(plan, config, out, content, *, progress):
    """Cuts; in slides called bad... the reader crashes at its third region."""
    with crashing("hdgan.tiles.work.open_slide", after=2):
        return cut_part(plan, config, out, content, progress=progress)


def plan_but_for_bad(entry, config, seed, *, progress):
    """Plans; the reader crashes when it opens slides called bad..."""
    with crashing("hdgan.tiles.plan.open_slide", after=-1):
        return plan_entry(entry, config, seed, progress=progress)


def cut_but_for_slow(plan, config, out, content, *, progress):
    """Cuts; in slides called bad... the reader hangs at its third region."""
    with crashing("hdgan.tiles.work.open_slide", after=2, sleeps=True):
        return cut_part(plan, config, out, content, progress=progress)


def plan_but_for_slow(entry, config, seed, *, progress):
    """Plans; the reader hangs when it opens slides called bad..."""
    with crashing("hdgan.tiles.plan.open_slide", after=-1, sleeps=True):
        return plan_entry(entry, config, seed, progress=progress)


def cut_until_full(plan, config, out, content, *, progress):
    """Cuts; the disk is full when the part of bad... is written."""
    if plan.entry.name.startswith("bad"):
        raise OutOfSpace(f"{out}: no space left to write it; free some and run the same command again")
    return cut_part(plan, config, out, content, progress=progress)


def cut_aloud(plan, config, out, content, *, progress):
    """Cuts, and writes the name of the slide and the process where C libraries complain."""
    os.write(2, f"{plan.entry.name} in {os.getpid()}\n".encode())
    return cut_part(plan, config, out, content, progress=progress)


@contextmanager
def crashing(where, *, after, sleeps=False):
    def opened(path, **settings):
        slide = open_slide(path, **settings)
        return Crashing(slide, after, sleeps=sleeps) if path.name.startswith("bad") else slide

    with patch(where, opened):
        yield


class Crashing:
    """A slide whose reader ends the process as a wild pointer in a C library does, or sleeps as one does whose file server is gone."""

    def __init__(self, slide, after, *, sleeps):
        self._slide = slide
        self._left = after
        self._sleeps = sleeps
        self._count()

    def __getattr__(self, name):
        return getattr(self._slide, name)

    def read(self, *args, **kwargs):
        self._count()
        return self._slide.read(*args, **kwargs)

    def _count(self):
        self._left -= 1
        if self._left < -1:
            if not self._sleeps:
                os.kill(os.getpid(), signal.SIGSEGV)
            time.sleep(60)


def show_but_for_bad(cells, plans, config, *, progress):
    """Reads tiles for the sheet; the reader crashes when it opens slides called bad..."""
    with crashing("hdgan.tiles.qc.open_slide", after=-1):
        return thumbs_of(cells, plans, config, progress=progress)


def cut_as_another_version(plan, config, out, content, *, progress):
    """Cuts; the status is that of a worker with another version of hdgan."""
    return replace(cut_part(plan, config, out, content, progress=progress), key="another", version="0.0.9")


def cut_by_other_code(plan, config, out, content, *, progress):
    """Cuts; the status is that of a worker with other source files of this version."""
    return replace(cut_part(plan, config, out, content, progress=progress), code="feed")


def take_part_but_for_bad(plan, rows, config, form, out, *, progress):
    """Stores again; the reader crashes at the second region of slides called bad..."""
    with crashing("hdgan.tiles.rebuild.open_slide", after=1):
        return take_part(plan, rows, config, form, out, progress=progress)


def report_but_for_bad(entry, slide_mpp, *, progress):
    """Reports; the reader crashes when it opens slides called bad..."""
    with crashing("hdgan.slides.inspect.open_slide", after=-1):
        return report_slide(entry, slide_mpp, progress=progress)


def portray_but_for_bad(path, mpp, *, progress):
    """Portrays; the reader crashes at the first region of slides called bad..."""
    with crashing("hdgan.tiles.portrait.open_slide", after=0):
        return portray_slide(path, mpp, progress=progress)


def take_image_but_for_bad(entry, *arguments, progress):
    """Takes images; the decoder crashes on those called bad..."""
    _crash_on(entry)
    return take_image(entry, *arguments, progress=progress)


def count_values_but_for_bad(entry, data, *, progress):
    """Counts values; the decoder crashes on images called bad..."""
    _crash_on(entry)
    return count_values(entry, data, progress=progress)


def read_tile_but_for_bad(path, mpp, row, *, progress):
    """Reads a tile; the reader crashes on slides called bad..., and once on those called once..."""
    mark = path.with_suffix(".crashed")
    if path.name.startswith("bad") or (path.name.startswith("once") and not mark.exists()):
        mark.touch()
        os.kill(os.getpid(), signal.SIGSEGV)
    return read_tile(path, mpp, row, progress=progress)


def read_region_but_for_bad(path, *arguments, progress):
    """Reads a region; the reader crashes on slides called bad..."""
    if path.name.startswith("bad"):
        os.kill(os.getpid(), signal.SIGSEGV)
    return read_region(path, *arguments, progress=progress)


def describe_but_for_hung(path, *arguments, progress):
    """Opens a slide; the reader hangs on those called hung..."""
    if path.name.startswith("hung"):
        time.sleep(60)
    return describe_slide(path, *arguments, progress=progress)


def _crash_on(entry):
    if entry.path.name.startswith("bad"):
        os.kill(os.getpid(), signal.SIGSEGV)
