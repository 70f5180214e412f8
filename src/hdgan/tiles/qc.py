"""The sheet to look at after cutting: some of the tiles that stayed, some that were dropped, each with its share of background."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing
from itertools import groupby
from typing import TypeVar

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from hdgan.errors import BadInput
from hdgan.plots.letters import letters
from hdgan.progress import SILENT, Progress, beat
from hdgan.randomness import stream
from hdgan.slides.protocol import SlideReader
from hdgan.slides.reader import open_slide
from hdgan.tiles.config import TilesConfig
from hdgan.tiles.crew import INLINE, Crashed, Crew, Job, in_order
from hdgan.tiles.cut import BACKGROUND, KEPT, Cell
from hdgan.tiles.plan import SlidePlan

NUM_SHOWN = 30
"""Tiles of each kind on the sheet."""

_GROUP = 8
_THUMB_PX = 128
_COLUMNS = 10
_LABEL_PX = 32
_GAP_PX = 6
_HEADER_PX = 26
_KEPT_INK, _DROPPED_INK, _INK, _PAPER = (0, 110, 60), (180, 40, 30), (40, 40, 40), (255, 255, 255)

Thing = TypeVar("Thing")


def draw_sheet(
    cells: Sequence[Cell],
    plans: Mapping[str, SlidePlan],
    config: TilesConfig,
    *,
    seed: int,
    crew: Crew = INLINE,
    progress: Progress = SILENT,
) -> np.ndarray:
    """The sheet, `[H, W, 3]` uint8. Kept tiles are drawn by `seed`, of the dropped ones half; the other half are those nearest the threshold.

    `crew` reads them from the slides, no finer than they are shown; those that cannot be read, or that a reader crashes on, are grey.
    """
    kept = [cell for cell in cells if cell.verdict == KEPT]
    dropped = [cell for cell in cells if cell.verdict == BACKGROUND]
    shown_kept = _some(kept, num=NUM_SHOWN, seed=seed, name="tiles.qc.kept")
    nearest = sorted(dropped, key=lambda cell: cell.background)[: NUM_SHOWN // 2]  # where the threshold decides
    taken = {_place(cell) for cell in nearest}
    others = [cell for cell in dropped if _place(cell) not in taken]
    shown_dropped = nearest + _some(others, num=NUM_SHOWN - len(nearest), seed=seed, name="tiles.qc.dropped")
    shown_cells = shown_kept + shown_dropped
    groups = _groups(shown_cells)
    jobs = [Job("the sheet of tiles", thumbs_of, (group, [plans[cell.slide] for cell in group], config)) for group in groups]
    found = [thumb for group in _done(jobs, crew, progress) for thumb in group]
    thumb_of = dict(zip((_place(cell) for group in groups for cell in group), found, strict=True))
    thumbs = [thumb_of[_place(cell)] for cell in shown_cells]
    labels = [_label(cell.slide, cell.background) for cell in shown_cells]
    shown = list(zip(thumbs, labels, strict=True))
    stayed, gone = shown[: len(shown_kept)], shown[len(shown_kept) :]
    head = f"{config.stored_px} px at {config.mpp:g} um/px"
    rule = f"more than {config.max_background:.0%} background"
    blocks = [
        _block(stayed, f"kept: {len(kept)} of {len(cells)} cells, {head}; {len(stayed)} shown", _KEPT_INK),
        _block(gone, f"dropped, {rule}: {len(dropped)} of {len(cells)} cells; {len(gone)} shown", _DROPPED_INK),
    ]
    return np.concatenate(blocks)


def thumbs_of(cells: Sequence[Cell], plans: Sequence[SlidePlan], config: TilesConfig, *, progress: Progress = SILENT) -> list[np.ndarray]:
    """Those cells, each with the plan of its slide, `[128, 128, 3]` uint8; grey where they cannot be read."""
    thumbs = []
    for _, group in groupby(zip(cells, plans, strict=True), key=lambda pair: pair[0].slide):
        pairs = list(group)
        plan = pairs[0][1]
        try:
            with closing(open_slide(plan.entry.path, mpp_override=plan.slide_mpp)) as slide:
                for cell, _ in pairs:
                    thumbs.append(_thumb(_read_again(slide, cell, config)))
                    beat(progress)
        except BadInput:  # it was changed or taken away since
            thumbs += [_grey()] * len(pairs)
    return thumbs


def _done(jobs: Sequence[Job[list[np.ndarray]]], crew: Crew, progress: Progress) -> Iterator[list[np.ndarray]]:
    """The thumbs of each group, in order."""
    for outcome in in_order(crew.run(jobs, progress=progress)):
        if isinstance(outcome.problem, Crashed):
            progress.say(f"{outcome.problem}; some tiles are grey on it")
            yield [_grey()] * len(jobs[outcome.index].arguments[0])  # as many as it was given
        elif outcome.problem is not None:
            raise outcome.problem
        else:
            yield outcome.value or []


def _groups(cells: Sequence[Cell]) -> list[list[Cell]]:
    """The cells of whole slides, enough at once to make up for a job, and the same groups whoever reads them: each slide is opened once."""
    groups: list[list[Cell]] = []
    for _, of_slide in groupby(sorted(cells, key=lambda cell: cell.slide), key=lambda cell: cell.slide):
        if not groups or len(groups[-1]) >= _GROUP:
            groups.append([])
        groups[-1] += of_slide
    return groups


def _place(cell: Cell) -> tuple[str, int, int]:
    return cell.slide, cell.x_px, cell.y_px


def _some(things: Sequence[Thing], *, num: int, seed: int, name: str) -> list[Thing]:
    """Up to `num` of them, in their order."""
    if len(things) <= num:
        return list(things)
    chosen = stream(seed, name).permutation(len(things))[:num]
    return [things[int(i)] for i in sorted(chosen)]


def _grey() -> np.ndarray:
    return np.full((_THUMB_PX, _THUMB_PX, 3), 128, np.uint8)


def _read_again(slide: SlideReader, cell: Cell, config: TilesConfig) -> np.ndarray:
    try:
        return slide.read((cell.x_px, cell.y_px), level0_size=cell.level0_px, out_px=min(_THUMB_PX, config.stored_px))
    except BadInput:  # a cell of background that cannot be decoded
        return _grey()


def _thumb(pixels: np.ndarray) -> np.ndarray:
    image = Image.fromarray(pixels)
    is_larger = image.width > _THUMB_PX
    return np.asarray(image.resize((_THUMB_PX, _THUMB_PX), Image.Resampling.LANCZOS if is_larger else Image.Resampling.NEAREST))


def _label(slide: str, background: float) -> str:
    short = slide if len(slide) <= 20 else f"{slide[:9]}..{slide[-9:]}"
    return f"{short}\nbackground {background:.0%}"


def _block(thumbs: Sequence[tuple[np.ndarray, str]], title: str, ink: tuple[int, int, int]) -> np.ndarray:
    lines = -(-len(thumbs) // _COLUMNS)
    width = _COLUMNS * (_THUMB_PX + _GAP_PX) + _GAP_PX
    sheet = Image.new("RGB", (width, _HEADER_PX + lines * (_THUMB_PX + _LABEL_PX + _GAP_PX)), _PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((_GAP_PX, 5), title, fill=ink, font=letters(title, size_px=14))
    labels = {label for _, label in thumbs}
    font = letters("".join(sorted(labels)), size_px=10)
    written = _written(labels, font)
    for i, (thumb, label) in enumerate(thumbs):
        x = _GAP_PX + i % _COLUMNS * (_THUMB_PX + _GAP_PX)
        y = _HEADER_PX + i // _COLUMNS * (_THUMB_PX + _LABEL_PX + _GAP_PX)
        sheet.paste(Image.fromarray(thumb), (x, y))
        draw.rectangle((x - 1, y - 1, x + _THUMB_PX, y + _THUMB_PX), outline=ink)
        if written:
            sheet.paste(written[label], (x, y + _THUMB_PX + 2))
        else:
            draw.multiline_text((x, y + _THUMB_PX + 2), label, fill=_INK, font=font, spacing=1)
    return np.asarray(sheet)


def _written(labels: Collection[str], font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> dict[str, Image.Image]:
    """A picture of each label, for many cells have the same; none where one reaches beyond its place, to be written over its neighbour."""
    width, height = _THUMB_PX + _GAP_PX, _LABEL_PX
    pictures = {}
    for label in labels:
        picture = Image.new("RGB", (width, height), _PAPER)
        draw = ImageDraw.Draw(picture)
        left, top, right, bottom = draw.multiline_textbbox((0, 0), label, font=font, spacing=1)
        if min(left, top) < 0 or right > width or bottom > height:
            return {}
        draw.multiline_text((0, 0), label, fill=_INK, font=font, spacing=1)
        pictures[label] = picture
    return pictures
