"""The sheet to look at after cutting: some of the tiles that stayed, some that were dropped, each with its share of background."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from functools import partial
from typing import TypeVar

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from hdgan.errors import BadInput
from hdgan.progress import SILENT, Progress
from hdgan.randomness import stream
from hdgan.slides.reader import open_slide
from hdgan.store.archive import TileArchive
from hdgan.tiles.config import TilesConfig
from hdgan.tiles.crew import Crashed, Crew, Job
from hdgan.tiles.cut import BACKGROUND, KEPT, Cell
from hdgan.tiles.plan import SlidePlan

NUM_SHOWN = 30
"""Tiles of each kind on the sheet."""

_THUMB_PX = 128
_COLUMNS = 10
_LABEL_PX = 32
_GAP_PX = 6
_HEADER_PX = 26
_KEPT_INK, _DROPPED_INK, _INK, _PAPER = (0, 110, 60), (180, 40, 30), (40, 40, 40), (255, 255, 255)

Thing = TypeVar("Thing")


def sheet(
    archive: TileArchive,
    cells: Sequence[Cell],
    plans: Mapping[str, SlidePlan],
    config: TilesConfig,
    crew: Crew,
    *,
    seed: int,
    progress: Progress = SILENT,
) -> np.ndarray:
    """The sheet, drawn by the crew, for it reads slides; where a reader crashes on one, without what is read from them.

    Raises:
        BadInput: a tile that is not stored cannot be read from its slide.
    """
    arguments = (archive, cells, plans, config, seed)
    ((outcome),) = crew.run([Job("the sheet of tiles", drawn, arguments)], progress=progress)
    if isinstance(outcome.problem, Crashed):
        progress.say(f"{outcome.problem}; tiles that must be read from slides are grey on it")
        return draw_sheet(TileArchive(archive.folder, _grey), cells, plans, config, seed=seed, is_reading=False)
    if outcome.value is None:
        raise outcome.problem or AssertionError("neither value nor problem")
    return outcome.value


def draw_sheet(
    archive: TileArchive,
    cells: Sequence[Cell],
    plans: Mapping[str, SlidePlan],
    config: TilesConfig,
    *,
    seed: int,
    is_reading: bool = True,
) -> np.ndarray:
    """The sheet, `[H, W, 3]` uint8. Kept tiles are drawn by `seed`, of the dropped ones half; the other half are those nearest the threshold.

    Unless it `is_reading`, no slide is opened, and dropped tiles are grey.
    """
    kept = [i for i, cell in enumerate(cells) if cell.verdict == KEPT]
    dropped = [cell for cell in cells if cell.verdict == BACKGROUND]
    shown_rows = _some(range(len(archive)), num=NUM_SHOWN, seed=seed, name="tiles.qc.kept")
    nearest = sorted(dropped, key=lambda cell: cell.background)[: NUM_SHOWN // 2]  # where the threshold decides
    others = [cell for cell in dropped if cell not in nearest]
    shown_cells = nearest + _some(others, num=NUM_SHOWN - len(nearest), seed=seed, name="tiles.qc.dropped")
    stayed = [(_thumb(archive.read(i)), _label(archive.rows[i].slide, archive.rows[i].background)) for i in shown_rows]
    look = partial(_read_again, config=config) if is_reading else _grey
    gone = [(_thumb(look(cell, plans[cell.slide])), _label(cell.slide, cell.background)) for cell in shown_cells]
    head = f"{config.stored_px} px at {config.mpp:g} um/px"
    rule = f"more than {config.max_background:.0%} background"
    blocks = [
        _block(stayed, f"kept: {len(kept)} of {len(cells)} cells, {head}; {len(stayed)} shown", _KEPT_INK),
        _block(gone, f"dropped, {rule}: {len(dropped)} of {len(cells)} cells; {len(gone)} shown", _DROPPED_INK),
    ]
    return np.concatenate(blocks)


def _some(things: Sequence[Thing], *, num: int, seed: int, name: str) -> list[Thing]:
    """Up to `num` of them, in their order."""
    chosen = stream(seed, name).permutation(len(things))[:num]
    return [things[int(i)] for i in sorted(chosen)]


def drawn(
    archive: TileArchive, cells: Sequence[Cell], plans: Mapping[str, SlidePlan], config: TilesConfig, seed: int, *, progress: Progress
) -> np.ndarray:
    """The sheet, as a job for a crew."""
    del progress
    with closing(archive):
        return draw_sheet(archive, cells, plans, config, seed=seed)


def _grey(*_: object) -> np.ndarray:
    return np.full((_THUMB_PX, _THUMB_PX, 3), 128, np.uint8)


def _read_again(cell: Cell, plan: SlidePlan, config: TilesConfig) -> np.ndarray:
    try:
        slide = open_slide(plan.entry.path, mpp_override=plan.slide_mpp)
        try:
            return slide.read((cell.x_px, cell.y_px), level0_size=cell.level0_px, out_px=min(_THUMB_PX, config.stored_px))
        finally:
            slide.close()
    except BadInput:  # a cell of background that cannot be decoded: the sheet shows it grey
        return _grey()


def _thumb(pixels: np.ndarray) -> Image.Image:
    image = Image.fromarray(pixels)
    is_larger = image.width > _THUMB_PX
    return image.resize((_THUMB_PX, _THUMB_PX), Image.Resampling.LANCZOS if is_larger else Image.Resampling.NEAREST)


def _label(slide: str, background: float) -> str:
    short = slide if len(slide) <= 20 else f"{slide[:9]}..{slide[-9:]}"
    return f"{short}\nbackground {background:.0%}"


def _block(thumbs: Sequence[tuple[Image.Image, str]], title: str, ink: tuple[int, int, int]) -> np.ndarray:
    lines = -(-len(thumbs) // _COLUMNS)
    width = _COLUMNS * (_THUMB_PX + _GAP_PX) + _GAP_PX
    sheet = Image.new("RGB", (width, _HEADER_PX + lines * (_THUMB_PX + _LABEL_PX + _GAP_PX)), _PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((_GAP_PX, 5), title, fill=ink, font=ImageFont.load_default(14))
    font = ImageFont.load_default(10)
    for i, (thumb, label) in enumerate(thumbs):
        x = _GAP_PX + i % _COLUMNS * (_THUMB_PX + _GAP_PX)
        y = _HEADER_PX + i // _COLUMNS * (_THUMB_PX + _LABEL_PX + _GAP_PX)
        sheet.paste(thumb, (x, y))
        draw.rectangle((x - 1, y - 1, x + _THUMB_PX, y + _THUMB_PX), outline=ink)
        draw.multiline_text((x, y + _THUMB_PX + 2), label, fill=_INK, font=font, spacing=1)
    return np.asarray(sheet)
