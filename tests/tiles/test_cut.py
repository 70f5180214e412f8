from __future__ import annotations

import io
import tracemalloc
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from hdgan.progress import Silent
from hdgan.slides.reader import open_slide
from hdgan.store.codec import decode, format_of
from hdgan.tiles import cut
from hdgan.tiles.cut import BACKGROUND, BLACK, BLUR, COMPARTMENT, KEPT, PEN, UNREADABLE, Cell, cut_slide, score_cells, verdict_of
from hdgan.tiles.overview import Overview, take_overview
from hdgan.tiles.pictures import thumbnail
from hdgan.tiles.plan import plan_slides
from hdgan.tiles.scores import Limits
from hdgan.tiles.unread import Unread
from tests.slides.painting import damage, halved, lose, paint, write_slide


def planned(cohort, config):
    plan = plan_slides(config, base=cohort)[0][0]
    return open_slide(plan.entry.path), plan


def decoded(tile):
    return decode(tile.encoded, format_of(tile.row.name))


def test_a_lossless_tile_holds_the_pixels_of_its_place(cohort, config):
    slide, plan = planned(cohort, config)
    level = halved(paint(seed=0))
    kept = [tile for _, tile in cut_slide(slide, plan, config) if tile]
    assert kept
    for tile in kept:
        x, y = tile.row.x_px // 2, tile.row.y_px // 2
        assert np.array_equal(decoded(tile), level[y : y + 64, x : x + 64])
        assert (tile.row.size_px, tile.row.level0_px, tile.row.mpp, tile.row.patient) == (64, 128, 1.0, "A")


def test_cells_are_kept_up_to_the_allowed_background(cohort, config):
    slide, plan = planned(cohort, config)
    for limit in (0.0, 0.3, 0.7, 1.0):
        cells = [cell for cell, _ in cut_slide(slide, plan, config.model_copy(update={"max_background": limit}))]
        assert len(cells) == len(plan.cells)
        assert all((cell.verdict == KEPT) == (cell.background <= limit) for cell in cells)


def test_the_share_of_background_is_that_of_the_painting(cohort, config):
    slide, plan = planned(cohort, config)
    truth = np.ones((512, 640), bool)
    truth[51:461, 64:448] = False
    expected = [truth[y : y + 128, x : x + 128].mean() for x, y in plan.cells]
    assert np.abs(score_cells(slide, plan, config).background - expected).max() < 0.03


def test_tissue_that_a_coarser_level_has_lost_is_kept_and_told(cohort, config):
    config = config.model_copy(update={"asked_mpp": 0.5, "tile_px": 64, "stride_px": 64})
    whole = write_slide(cohort / "a1.tif", paint(1280, 1024), levels=2)
    verdicts = {}
    for lost in ((), (6,), (6, 7, 12)):
        lose(whole, level=1, tiles=lost)
        slide, plan = planned(cohort, config)
        notes: list[Unread] = []
        verdicts[lost] = [cell.verdict for cell, _ in cut_slide(slide, plan, config, unread=notes)]
        assert bool(notes) == bool(lost)
        assert {note.outcome for note in notes} <= {"made from level 0"}
    assert verdicts[6,] == verdicts[6, 7, 12] == verdicts[()]
    assert verdicts[()].count(KEPT) > len(plan.cells) / 3


def test_a_tile_is_not_cut_from_a_level_that_has_lost_a_part_of_it(cohort, config):
    path = write_slide(cohort / "a1.tif", paint(1280, 1024), levels=4)
    lose(path, level=1, tiles=(6,))
    slide, plan = planned(cohort, config)
    notes: list[Unread] = []
    cut = [cell for cell, _ in cut_slide(slide, plan, config, unread=notes) if cell.verdict == UNREADABLE]
    assert {(cell.x_px, cell.y_px) for cell in cut} == {(x, y) for x, y in plan.cells if 128 < x < 512 and 128 < y < 512}
    assert {note.second for note in notes if note.part == "tile"} == {"fails"}


def test_a_damaged_region_costs_its_tiles_and_is_told(tmp_path, cohort, config):
    path = write_slide(cohort / "a1.tif", paint(seed=0), levels=1)
    damage(path, tile_index=0)
    slide, plan = planned(cohort, config)
    said = []
    listener = Silent()
    listener.say = said.append
    cells = {(cell.x_px, cell.y_px): (cell, tile) for cell, tile in cut_slide(slide, plan, config, progress=listener)}
    touching = {xy for xy in cells if xy[0] < 128 and xy[1] < 128}
    assert {cells[xy][0].verdict for xy in touching} == {UNREADABLE}
    assert all(cells[xy][1] is None for xy in touching)
    assert UNREADABLE not in {cell.verdict for xy, (cell, _) in cells.items() if xy not in touching}
    assert {cell.verdict for cell, _ in cells.values()} == {KEPT, BACKGROUND, UNREADABLE}
    assert len(said) == 1 + len(touching)
    assert "level 0 cannot be decoded at" in said[0]
    assert all("dropped, undecodable: tile 0" in line for line in said[1:])


def test_a_cell_whose_overview_is_damaged_is_scored_on_its_own_pixels(cohort, config, monkeypatch):
    slide, plan = planned(cohort, config)
    expected = [(cell, tile and tile.encoded) for cell, tile in cut_slide(slide, plan, config)]

    def half_blind(slide, *, step_px, progress):
        overview = take_overview(slide, step_px=step_px)
        overview.is_unreadable[: len(overview.pixels) // 2] = True
        return replace(overview, pixels=np.where(overview.is_unreadable[..., None], 255, overview.pixels).astype(np.uint8))

    monkeypatch.setattr(cut, "take_overview", half_blind)
    found = [(cell, tile and tile.encoded) for cell, tile in cut_slide(slide, plan, config)]
    assert [(cell.verdict, pixels) for cell, pixels in found] == [(cell.verdict, pixels) for cell, pixels in expected]
    assert all(abs(a.background - b.background) < 0.03 for (a, _), (b, _) in zip(found, expected, strict=True))


def test_jpeg_tiles_are_close_and_not_subsampled(cohort, config):
    slide, plan = planned(cohort, config)
    tile = next(tile for _, tile in cut_slide(slide, plan, config.model_copy(update={"format": "jpeg", "max_background": 0.0})) if tile)
    assert tile.row.name.endswith(".jpg")
    with Image.open(io.BytesIO(tile.encoded)) as image:
        assert image.layer[0][1:3] == image.layer[1][1:3] == (1, 1)
    x, y = tile.row.x_px // 2, tile.row.y_px // 2
    truth = halved(paint(seed=0))[y : y + 64, x : x + 64].astype(float)
    assert np.sqrt(((decoded(tile) - truth) ** 2).mean()) < 6


def test_a_slide_smaller_than_a_tile_gives_no_cell(cohort, config):
    large = config.model_copy(update={"tile_px": 4096})
    slide, plan = planned(cohort, large)
    assert list(cut_slide(slide, plan, large)) == []


def test_cutting_twice_gives_equal_bytes(cohort, config):
    runs = []
    for _ in range(2):
        slide, plan = planned(cohort, config)
        runs.append([tile.encoded for _, tile in cut_slide(slide, plan, config) if tile])
    assert runs[0] == runs[1]


def test_each_score_drops_a_cell_by_its_own_threshold_and_by_no_other():
    cell = Cell("s", 0, 0, 8, 0.2, KEPT, pen=0.2, black=0.2, blur=0.2, compartment=0.2)
    loose = Limits(0.2, 0.2, 0.2, 0.2, 0.2)
    assert verdict_of(cell, loose) == KEPT
    for name, reason in (("background", BACKGROUND), ("pen", PEN), ("black", BLACK), ("blur", BLUR)):
        assert verdict_of(cell, replace(loose, **{f"max_{name}": 0.1})) == reason
        assert verdict_of(replace(cell, **{name: 0.3}), loose) == reason
    assert verdict_of(cell, replace(loose, min_compartment=0.3)) == COMPARTMENT
    assert verdict_of(replace(cell, pen=None, black=None, blur=None, compartment=None), loose) == KEPT
    assert verdict_of(replace(cell, pen=1.0, black=1.0, blur=1.0, compartment=0.0), Limits(0.5)) == KEPT


def test_only_cells_that_were_read_have_scores_of_their_pixels(cohort, config):
    slide, plan = planned(cohort, config)
    cells = [cell for cell, _ in cut_slide(slide, plan, config)]
    assert {cell.verdict for cell in cells} == {KEPT, BACKGROUND}
    for cell in cells:
        assert (cell.blur is None) == (cell.compartment is None) == (cell.verdict == BACKGROUND)
        assert cell.pen == cell.black == 0


def test_ink_and_black_drop_their_tiles_where_asked_to(cohort, config):
    pixels = paint(seed=0)
    pixels[100:230, 100:250] = (20, 60, 170)
    pixels[300:430, 100:250] = 0
    write_slide(cohort / "a1.tif", pixels)
    slide, plan = planned(cohort, config)
    strict = config.model_copy(update={"max_pen": 0.2, "max_black": 0.2, "max_background": 1.0})
    cells = {(cell.x_px, cell.y_px): cell for cell, _ in cut_slide(slide, plan, strict)}
    assert cells[(128, 64)].verdict == PEN
    assert cells[(128, 320)].verdict == BLACK
    assert {cell.verdict for xy, cell in cells.items() if xy[0] >= 256} == {KEPT}
    assert {cell.verdict for cell, _ in cut_slide(slide, plan, config)} == {KEPT, BACKGROUND}


def test_blur_and_compartment_thresholds_drop_what_was_read(cohort, config):
    slide, plan = planned(cohort, config)
    scores = score_cells(slide, plan, config)
    kept = [cell for cell, _ in cut_slide(slide, plan, config, scores=scores) if cell.verdict == KEPT]
    for name, limit, reason in (("blur", "max_blur", BLUR), ("compartment", "min_compartment", COMPARTMENT)):
        middle = sorted(getattr(cell, name) for cell in kept)[len(kept) // 2]
        found = list(cut_slide(slide, plan, config.model_copy(update={limit: middle}), scores=scores))
        for cell, tile in found:
            if cell.verdict in (KEPT, reason):
                is_dropped = getattr(cell, name) > middle if name == "blur" else getattr(cell, name) < middle
                assert (cell.verdict == reason) == is_dropped == (tile is None)
        assert sum(cell.verdict != BACKGROUND for cell, _ in found) == len(kept)


class Beating(Silent):
    def __init__(self):
        self.num = 0

    def beat(self):
        self.num += 1


def test_the_memory_of_scoring_does_not_grow_with_the_overview_and_it_tells_that_it_goes_on(cohort, config, monkeypatch):
    """Copies, floats and sums of a whole overview would take several times its bytes."""
    _, plan = planned(cohort, config)
    peaks, num_beats, width = [], [], 512
    for height in (5000, 13000):
        pixels = np.full((height, width, 3), 241, np.uint8)
        pixels[::3, ::2] = (180, 110, 160)
        painted, progress = Overview(pixels, 1.0, np.zeros((height, width), bool)), Beating()
        monkeypatch.setattr(cut, "take_overview", lambda *_, found=painted, **__: found)
        tall = replace(plan, size_px=(width, height), slide_mpp=1.0, level0_px=64, cells=((0, 0), (64, height - 64)))
        tracemalloc.start()
        try:
            scores = score_cells(SimpleNamespace(size_px=tall.size_px), tall, config, progress=progress)
            thumbnail(scores.overview)
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
        assert scores.background.tolist() == pytest.approx([5 / 6, 5 / 6], abs=0.01)
        num_beats.append(progress.num)
    assert peaks[1] - peaks[0] < 0.1 * pixels.nbytes
    assert num_beats[1] - num_beats[0] >= 3 * (13000 - 5000) * width >> 18
