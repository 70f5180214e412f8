from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from hdgan.slides.reader import open_slide
from hdgan.store.archive import TileArchive
from hdgan.tiles import qc
from hdgan.tiles.cut import cut_slide
from hdgan.tiles.parts import join_parts, part_folder, write_part
from hdgan.tiles.plan import plan_slides
from hdgan.tiles.qc import NUM_SHOWN, draw_sheet, thumbs_of


def all_in_one(out, plan):
    return {row.name: 0 for row in TileArchive(part_folder(out, plan.entry.name)).rows}


def test_the_sheet_shows_kept_and_dropped_tiles_and_is_the_same_each_time(tmp_path, cohort, config):
    (plan, *_), _ = plan_slides(config, base=cohort)
    slide = open_slide(plan.entry.path)
    cells = write_part(part_folder(tmp_path, plan.entry.name), cut_slide(slide, plan, config))
    join_parts(tmp_path, [plan.entry.name], fold_of=all_in_one(tmp_path, plan))
    sheets = [draw_sheet(cells, {plan.entry.name: plan}, config, seed=seed) for seed in (0, 0, 1)]
    assert np.array_equal(sheets[0], sheets[1])
    assert not np.array_equal(sheets[0], sheets[2])
    num_dropped = sum(cell.verdict == "background" for cell in cells)
    assert num_dropped > 0
    assert len(cells) - num_dropped > NUM_SHOWN
    assert sheets[0].shape[0] > 3 * 128 + 128
    tissue = (sheets[0].astype(int).max(axis=2) - sheets[0].min(axis=2)) > 40
    assert tissue[:400].mean() > 0.3


def test_without_a_dropped_tile_the_sheet_has_only_the_title_of_that_part(tmp_path, cohort, config):
    every = config.model_copy(update={"max_background": 1.0})
    (plan, *_), _ = plan_slides(every, base=cohort)
    cells = write_part(part_folder(tmp_path, plan.entry.name), cut_slide(open_slide(plan.entry.path), plan, every))
    join_parts(tmp_path, [plan.entry.name], fold_of=all_in_one(tmp_path, plan))
    sheet = draw_sheet(cells, {plan.entry.name: plan}, every, seed=0)
    assert sheet.shape[2] == 3
    assert (sheet[-20:].max(axis=2) == 255).any()


def test_a_thumb_shows_the_tile_that_is_stored_and_is_grey_where_the_slide_is_gone(tmp_path, cohort, config):
    (plan, *_), _ = plan_slides(config, base=cohort)
    cells = write_part(part_folder(tmp_path, plan.entry.name), cut_slide(open_slide(plan.entry.path), plan, config))
    archive, kept = TileArchive(part_folder(tmp_path, plan.entry.name)), [cell for cell in cells if cell.verdict == "kept"][:3]
    gone = replace(plan, entry=replace(plan.entry, path=tmp_path / "gone.tif"))
    *thumbs, grey = thumbs_of([*kept, replace(kept[0], slide="gone")], [plan] * 3 + [gone], config)
    for number, thumb in enumerate(thumbs):
        stored = Image.fromarray(archive.read(number)).resize((128, 128), Image.Resampling.NEAREST)
        assert np.abs(np.asarray(stored).astype(int) - thumb).mean() < 1
    assert (grey == 128).all()


def test_each_slide_is_opened_once_for_the_sheet_and_tiles_stand_in_their_order(tmp_path, cohort, config, monkeypatch):
    plans, _ = plan_slides(config, base=cohort)
    cells = [cell for plan in plans for cell, _ in cut_slide(open_slide(plan.entry.path), plan, config)]
    by_name = {plan.entry.name: plan for plan in plans}
    opened = []
    monkeypatch.setattr(qc, "open_slide", lambda path, **named: opened.append(path) or open_slide(path, **named))
    sheet = draw_sheet(cells, by_name, config, seed=0)
    assert sorted(opened) == sorted(set(opened))
    monkeypatch.setattr(qc, "_groups", lambda cells: [[cell] for cell in cells])
    assert np.array_equal(draw_sheet(cells, by_name, config, seed=0), sheet)


@pytest.mark.parametrize("longest", ["gypsy", "W" * 20])
def test_labels_stand_as_they_are_written_one_after_the_other(longest):
    thumb = np.full((128, 128, 3), 90, np.uint8)
    labels = [f"{name}\nbackground {share}%" for name, share in (("slide", 7), (longest, 100), ("slide", 7), (longest, 100), ("gypsy", 3))]
    sheet = Image.new("RGB", (134 * 10 + 6, 26 + 166), (255, 255, 255))
    for number, label in enumerate(labels):
        place = (6 + number * 134, 26 + 130)
        ImageDraw.Draw(sheet).multiline_text(place, label, fill=(40, 40, 40), font=ImageFont.load_default(10), spacing=1)
    block = qc._block([(thumb, label) for label in labels], "kept", (0, 110, 60))
    assert np.array_equal(block[26 + 130 :], np.asarray(sheet)[26 + 130 :])
    assert (block[26 + 130 :] < 128).any()


def test_where_all_are_shown_nothing_is_drawn_by_lot():
    assert qc._some([3, 1, 2], num=3, seed=0, name="any") == [3, 1, 2]
    assert len(qc._some(list(range(9)), num=3, seed=0, name="any")) == 3
