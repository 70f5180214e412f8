from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hdgan.cli import plan as text
from hdgan.evaluation.filters import filter_maps
from hdgan.generator.config import GeneratorConfig
from hdgan.pipeline import plan as planning
from hdgan.pipeline.config import RunConfig
from hdgan.pipeline.plan import make_plan
from hdgan.pipeline.settings_file import read_settings
from hdgan.store.archive import INDEX, TileRow, write_rows
from hdgan.store.layout import STAGES
from hdgan.store.stage import open_stage

RECIPES = Path(__file__).parents[2] / "recipes"


def planned(recipe: str, root: Path):
    config = read_settings(RECIPES / f"{recipe}.toml", RunConfig, environment={}, lenient=True)
    return config, make_plan(config, root=root, base=RECIPES)


def test_the_paper_setting_is_planned_without_the_slides(tmp_path):
    config, _ = planned("tma_4096", tmp_path)
    features = config.features.model_copy(update={"source": "native"})
    plan = make_plan(config.model_copy(update={"features": features}), root=tmp_path, base=RECIPES)
    rows = {row.stage: row for row in plan.rows}
    assert tuple(rows) == STAGES[:-1]
    assert "32732 tiles of 4096 px" in rows["tiles"].writes
    assert rows["features"].need.disk == 36 * 992 * 2**20
    assert "16 times as much" in " ".join(rows["features"].notes)
    assert rows["generator"].need.gpu_seconds == pytest.approx(8 * 86400, rel=0.5)
    assert 100 * 2**30 < plan.disk < 2**40
    assert plan.gpu_seconds < plan.cpu_seconds
    assert not any(tmp_path.iterdir())


def test_a_plan_tells_of_each_stage_what_it_reads_writes_and_needs(tmp_path):
    _, plan = planned("kidney_pas", tmp_path)
    lines = list(text.lines(plan))
    for stage in STAGES:
        at = next(i for i, line in enumerate(lines) if line.startswith(f"{stage}  ["))
        assert [line.split()[0] for line in lines[at + 1 : at + 5]] == ["reads", "writes", "memory", "time"]
    assert lines[-1].startswith("still to do: disk ")


def test_features_that_the_disk_cannot_hold_are_planned_to_be_drawn_again_for_each_pass(tmp_path):
    config, _ = planned("tma_4096", tmp_path)
    needs = {}
    for disk, memory in ((100.0, 64.0), (1.0, 64.0), (1.0, 8.0)):
        features = config.features.model_copy(update={"disk_budget_gib": disk, "memory_budget_gib": memory})
        classifier = config.classifier.model_copy(update={"members": 5})
        changed = config.model_copy(update={"features": features, "classifier": classifier})
        rows = {row.stage: row for row in make_plan(changed, root=tmp_path, base=RECIPES).rows}
        assert f"source {'native' if disk > 50 else 'recompute'}" in rows["features"].writes
        needs[disk, memory] = [rows[stage].need for stage in ("features", "classifier")]
    assert needs[1.0, 64.0][0].disk == 0
    assert needs[100.0, 64.0][1].cpu_seconds < needs[1.0, 64.0][1].cpu_seconds < needs[1.0, 8.0][1].cpu_seconds
    assert needs[1.0, 8.0][1].memory < 8 * 2**30 + planning._LIBRARIES_BYTES < needs[1.0, 64.0][1].memory


def test_more_cores_draw_sooner_but_fit_no_sooner_and_fewer_components_take_less(tmp_path, monkeypatch):
    config, _ = planned("kidney_pas", tmp_path)
    members = config.classifier.model_copy(update={"members": 2, "components": None})
    shrunk = members.model_copy(update={"components": 8})
    needs = {}
    for cores in (1, 4):
        monkeypatch.setattr(planning, "cores", lambda cores=cores: cores)
        for source in ("native", "recompute"):
            for name, classifier in {"whole": members, "shrunk": shrunk}.items():
                features = config.features.model_copy(update={"source": source})
                changed = config.model_copy(update={"features": features, "classifier": classifier})
                rows = {row.stage: row.need for row in make_plan(changed, root=tmp_path, base=RECIPES).rows}
                needs[cores, source, name] = rows["classifier"]
    assert needs[4, "native", "whole"].cpu_seconds == needs[1, "native", "whole"].cpu_seconds
    assert needs[4, "recompute", "whole"].cpu_seconds < needs[1, "recompute", "whole"].cpu_seconds
    for source in ("native", "recompute"):
        assert needs[1, source, "shrunk"].memory < needs[1, source, "whole"].memory


def test_what_is_current_is_not_counted(tmp_path):
    config, before = planned("painted_small", tmp_path)
    recorded = config.recorded("tiles")
    with open_stage(tmp_path / "1-tiles", stage="tiles", config=recorded, seed=config.run.seed, inputs={}) as folder:
        folder.seal(counts={})
    _, after = planned("painted_small", tmp_path)
    assert [row.standing.state for row in after.rows][:2] == ["current", "absent"]
    assert after.cpu_seconds <= before.cpu_seconds


def test_the_filter_bank_is_as_large_as_the_plan_says():
    assert len(filter_maps(np.zeros((16, 16, 3), np.uint8))) == planning._NUM_FILTERS


@pytest.mark.parametrize(
    ("num", "written"), [(None, "unknown"), (10, "1 KiB"), (3 * 2**20, "3.0 MiB"), (50 * 2**30, "50 GiB"), (2**41, "2.0 TiB")]
)
def test_sizes_are_written_as_people_read_them(num, written):
    assert text.size(num) == written


@pytest.mark.parametrize(
    ("seconds", "written"),
    [
        (None, "unknown"),
        (0.1, "about 1 s"),
        (90, "about 90 s"),
        (600, "about 10 min"),
        (9000, "about 2.5 h"),
        (7 * 86400, "about 7.0 days"),
    ],
)
def test_durations_are_as_coarse_as_the_estimate(seconds, written):
    assert text.duration(seconds) == written


@pytest.mark.parametrize(("resolution", "is_told"), [(1024, False), (4096, True)])
def test_a_plan_warns_of_the_published_rule_where_nobody_reports_a_run(tmp_path, resolution, is_told):
    config, _ = planned("tma_4096", tmp_path)
    generator = GeneratorConfig(preset="auto", resolution=resolution)
    plan = make_plan(config.model_copy(update={"generator": generator}), root=tmp_path, base=RECIPES)
    notes = " ".join(next(row.notes for row in plan.rows if row.stage == "generator"))
    assert ("auto gives 1 images per step and an R1 weight of 3355" in notes) == is_told


def test_the_images_that_wait_for_their_pass_are_planned_as_memory(tmp_path):
    config, _ = planned("tma_4096", tmp_path)
    found = []
    for batch in (1, 8):
        generator = GeneratorConfig(preset="large", resolution=4096, batch=batch, microbatch=1)
        plan = make_plan(config.model_copy(update={"generator": generator}), root=tmp_path, base=RECIPES)
        found.append(next(row.need.memory for row in plan.rows if row.stage == "generator"))
    assert found[1] - found[0] == pytest.approx(7 * 3 * 4096**2)  # in 8 bits


def test_blocks_that_are_recomputed_make_the_planned_memory_smaller(tmp_path):
    config, _ = planned("kidney_pas", tmp_path)
    found = []
    for from_px in (None, 8):
        generator = config.generator.model_copy(update={"resolution": 256, "recompute_from_px": from_px, "gamma": 0.0})
        plan = make_plan(config.model_copy(update={"generator": generator}), root=tmp_path, base=RECIPES)
        found.append(next(row.need.memory for row in plan.rows if row.stage == "generator") - planning._LIBRARIES_BYTES)
    assert 0.3 < found[1] / found[0] < 0.7


def test_where_all_is_current_nothing_is_still_to_be_done(tmp_path):
    _, plan = planned("painted_small", tmp_path)
    done = [replace(row, standing=replace(row.standing, state="current")) for row in plan.rows]
    assert list(text.lines(replace(plan, rows=tuple(done))))[-1] == "still to do: nothing"
    assert list(text.lines(replace(plan, rows=(*done[1:], plan.rows[0]))))[-1] != "still to do: nothing"


def test_labels_of_the_generator_are_planned_as_many_as_the_tiles_have(tmp_path):
    config, _ = planned("painted_small", tmp_path)

    def generator_of(condition):
        changed = config.model_copy(update={"generator": config.generator.model_copy(update={"condition": condition})})
        return next(row for row in make_plan(changed, root=tmp_path, base=RECIPES).rows if row.stage == "generator")

    plain, guessed = generator_of("none"), generator_of("patient")
    assert guessed.need.memory > plain.need.memory
    assert "counted with 2 labels: how many there are, tiles will tell" in guessed.notes
    tiles = [TileRow(f"{i}.png", "s", f"patient {i}", "c", "PAS", 0, 0, 0, 64, 64, 1.0, 0.0) for i in range(40)]
    (tmp_path / "1-tiles").mkdir()
    write_rows(tmp_path / "1-tiles" / INDEX, tiles)
    known = generator_of("patient")
    assert not any("labels" in note for note in known.notes)
    width = config.generator.network_spec().channels(4) + config.generator.network_spec().w_dim
    assert known.need.memory - guessed.need.memory == 5 * 4 * 38 * width
    (tmp_path / "1-tiles" / INDEX).write_text("cut sh")  # nobody needs it here
    assert generator_of("none").need == plain.need
