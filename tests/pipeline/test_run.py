from __future__ import annotations

from pathlib import Path

import pytest

from hdgan.errors import BadConfig, BadInput, Interrupted, StaleStage
from hdgan.pipeline import run as running
from hdgan.pipeline import steps
from hdgan.pipeline.run import open_run, run_all, run_one, run_root, settings_base, survey
from hdgan.pipeline.steps import Step
from hdgan.progress import SILENT
from hdgan.store.stage import manifest_hash, open_stage

SETTINGS = (
    '[run]\nname = "small"\nseed = {seed}\n[tiles]\nslides = ["here/*.tif"]\nmpp = {mpp}\ntile_px = 64\n[annotations]\nmasks = "drawn"\n'
)


class Works:
    """Stands in for the stages: each writes one file, and can be told to break off."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.breaks_at = ""

    def step(self, stage: str, reads: tuple[str, ...]) -> Step:
        def work(run, redo, progress):
            inputs = {name: manifest_hash(run.stage(name)) for name in reads}
            config = run.config.recorded(stage)
            with open_stage(run.stage(stage), stage=stage, config=config, seed=run.config.run.seed, inputs=inputs, redo=redo) as folder:
                if folder.manifest is not None:
                    return folder.manifest
                if stage == self.breaks_at:
                    raise Interrupted("stopped")
                (folder.path / "out.txt").write_text(stage)
                self.done.append(stage)
                return folder.seal(counts={})

        return Step(stage, f"do {stage}", reads, work)


@pytest.fixture
def works(monkeypatch) -> Works:
    stand_in = Works()
    chain = ("tiles", "generator", "samples")
    made = tuple(stand_in.step(stage, chain[max(0, i - 1) : i]) for i, stage in enumerate(chain))
    monkeypatch.setattr(running, "STEPS", (*made, steps.STEPS[-1]))
    return stand_in


def settings(folder: Path, *, mpp: float = 2.0, seed: int = 1) -> Path:
    path = folder / "settings.toml"
    path.write_text(SETTINGS.format(mpp=mpp, seed=seed))
    return path


def test_the_settings_are_copied_and_their_paths_still_start_at_the_original(tmp_path):
    root = tmp_path / "runs" / "small"
    first = open_run(root, config=settings(tmp_path))
    again = open_run(root)
    assert again.config == first.config
    assert again.folder.root == root
    assert again.path(Path("drawn")) == tmp_path.resolve() / "drawn"
    assert run_root(first.config, tmp_path / "settings.toml") == Path("runs/small")


def test_a_run_without_settings_is_refused(tmp_path):
    with pytest.raises(BadInput, match=r"holds no config\.toml"):
        open_run(tmp_path)


def test_stages_run_in_order_once_and_sections_left_out_are_left_out(works, tmp_path):
    run = open_run(tmp_path / "run", config=settings(tmp_path))
    outcomes = run_all(run)
    assert works.done == ["tiles", "generator", "samples"]
    assert [outcome.was_current for outcome in outcomes] == [False] * 3
    assert [outcome.was_current for outcome in run_all(run)] == [True] * 3
    assert works.done == ["tiles", "generator", "samples"]


def test_a_run_goes_on_where_it_was_interrupted(works, tmp_path):
    run = open_run(tmp_path / "run", config=settings(tmp_path))
    works.breaks_at = "generator"
    with pytest.raises(Interrupted):
        run_all(run)
    works.breaks_at = ""
    assert [outcome.was_current for outcome in run_all(run)] == [True, False, False]


def test_a_part_of_the_stages_can_be_asked_for(works, tmp_path):
    run = open_run(tmp_path / "run", config=settings(tmp_path))
    run_all(run, until="generator")
    assert works.done == ["tiles", "generator"]
    run_all(run, first="samples")
    assert works.done == ["tiles", "generator", "samples"]


def test_a_changed_setting_stops_the_run_and_names_every_stale_stage(works, tmp_path):
    run_all(open_run(tmp_path / "run", config=settings(tmp_path)))
    changed = open_run(tmp_path / "run", config=settings(tmp_path, mpp=3.0))
    with pytest.raises(StaleStage) as caught:
        run_all(changed)
    message = str(caught.value)
    assert "tiles (config.mpp)" in message
    assert "generator (inputs.tiles)" in message
    assert "samples (inputs.generator)" in message
    assert "--redo" in message
    assert works.done == ["tiles", "generator", "samples"]


def test_redo_makes_the_stale_stages_again_and_only_those(works, tmp_path):
    run_all(open_run(tmp_path / "run", config=settings(tmp_path)))
    works.done.clear()
    changed = open_run(tmp_path / "run", config=settings(tmp_path, mpp=3.0))
    run_all(changed, redo=True)
    assert works.done == ["tiles", "generator", "samples"]
    works.done.clear()
    run_all(changed, redo=True)
    assert works.done == []
    assert {standing.state for standing in survey(changed)} == {"current"}


def test_a_single_stage_is_not_built_on_a_stale_one(works, tmp_path):
    run_all(open_run(tmp_path / "run", config=settings(tmp_path)))
    changed = open_run(tmp_path / "run", config=settings(tmp_path, seed=2))
    with pytest.raises(StaleStage, match=r"tiles \(seed\)"):
        run_one(changed, "samples", redo=True)
    assert run_one(changed, "tiles", redo=True).was_current is False


@pytest.mark.parametrize("redo", [False, True])
def test_a_part_of_the_stages_is_not_built_on_a_stale_one(works, tmp_path, redo):
    run_all(open_run(tmp_path / "run", config=settings(tmp_path)))
    works.done.clear()
    changed = open_run(tmp_path / "run", config=settings(tmp_path, mpp=3.0))
    with pytest.raises(StaleStage) as caught:
        run_all(changed, first="samples", redo=redo)
    listed = "tiles (config.mpp); generator (inputs.tiles)"
    assert str(caught.value) == f"made from other settings or inputs: {listed}; make them again before samples, each with --redo"
    assert works.done == []
    for stage in ("tiles", "generator"):
        run_one(changed, stage, redo=True)
    run_all(changed, first="samples", redo=True)
    assert works.done == ["tiles", "generator", "samples"]


def test_a_stale_stage_that_is_not_read_is_no_hindrance(works, monkeypatch, tmp_path):
    """As the evaluation is none for the dataset."""
    alone = (*running.STEPS[:2], works.step("samples", ("tiles",)))
    monkeypatch.setattr(running, "STEPS", alone)
    run_all(open_run(tmp_path / "run", config=settings(tmp_path)))
    path = settings(tmp_path)
    path.write_text(path.read_text() + "[generator]\nkimg = 3.0\n")
    changed = open_run(tmp_path / "run", config=path)
    assert [standing.state for standing in survey(changed)] == ["current", "stale", "current"]
    assert run_one(changed, "samples").was_current
    assert [outcome.was_current for outcome in run_all(changed, first="samples")] == [True]


def test_a_stage_that_is_none_or_is_not_asked_for_is_refused(works, tmp_path):
    run = open_run(tmp_path / "run", config=settings(tmp_path))
    with pytest.raises(BadConfig, match="there is none called 'tile'; stages are tiles, generator"):
        run_all(run, until="tile")
    with pytest.raises(BadConfig, match="downstream is not asked for; add its section"):
        run_one(run, "downstream")


def test_without_masks_the_run_says_what_to_annotate_and_how_to_go_on(tmp_path):
    text = SETTINGS.format(mpp=2.0, seed=1).replace('masks = "drawn"\n', "")
    (tmp_path / "settings.toml").write_text(text)
    run = open_run(tmp_path / "run", config=tmp_path / "settings.toml")
    with pytest.raises(BadInput, match=r"nobody has annotated.*shortlist.json.*hdgan import-masks"):
        run_one(run, "annotations")


def test_masks_of_an_oracle_are_found_when_the_run_is_named_from_here(tmp_path, monkeypatch):
    text = SETTINGS.format(mpp=2.0, seed=1).replace('masks = "drawn"\n', "") + '[oracle]\n[real]\npairs = "pairs"\n'
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "settings.toml").write_text(text)
    monkeypatch.chdir(tmp_path)
    run = open_run(Path("run"), config=Path("elsewhere/settings.toml"))
    asked = {}
    monkeypatch.setattr("hdgan.pipeline.oracle.oracle_masks", lambda run, **_: run.beside("oracle-masks") / "masks")
    monkeypatch.setattr("hdgan.annotations.stage.run_annotations", lambda config, **named: asked.update(named, config=config))
    steps.STEPS[3].work(run, False, SILENT)
    assert asked["masks"].resolve() == tmp_path / "run" / "oracle-masks" / "masks"
    assert asked["config"].annotator == "oracle"


def test_weights_to_begin_with_are_looked_for_where_other_paths_of_the_settings_begin(tmp_path, monkeypatch):
    from hdgan.generator import stage

    path = settings(tmp_path)
    path.write_text(path.read_text() + '[generator]\ninit_from = "trained/generator.safetensors"\n')
    seen = []
    monkeypatch.setattr(stage, "run_generator", lambda config, **_: seen.append(config.init_from))
    next(step for step in steps.STEPS if step.stage == "generator").work(open_run(tmp_path / "run", config=path), False, SILENT)
    assert seen == [tmp_path.resolve() / "trained" / "generator.safetensors"]


def test_corrections_of_an_oracles_masks_are_looked_for_where_the_settings_lie(tmp_path, monkeypatch):
    text = SETTINGS.format(mpp=2.0, seed=1).replace('masks = "drawn"\n', 'corrections = "corrected"\ncorrector = "B. Eye"\n')
    (tmp_path / "settings.toml").write_text(text + '[oracle]\n[real]\npairs = "pairs"\n')
    run = open_run(tmp_path / "elsewhere" / "run", config=tmp_path / "settings.toml")
    seen = []
    monkeypatch.setattr("hdgan.pipeline.oracle.oracle_masks", lambda run, **_: run.beside("oracle-masks") / "masks")
    monkeypatch.setattr("hdgan.annotations.stage.run_annotations", lambda config, **_: seen.append(config))
    steps.STEPS[3].work(run, False, SILENT)
    steps.STEPS[3].work(run.with_corrections(tmp_path / "others"), False, SILENT)
    assert [config.corrections for config in seen] == [tmp_path.resolve() / "corrected", tmp_path / "others"]
    assert [(config.annotator, config.corrector) for config in seen] == [("oracle", "B. Eye")] * 2


@pytest.mark.parametrize(
    ("asked", "setting"), [('[generator]\ndevice = "cuda"\n', "generator.device"), ('device = "cuda"\n', "run.device")]
)
def test_a_gpu_that_is_not_there_is_missed_before_the_first_stage_begins(works, monkeypatch, tmp_path, asked, setting):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    path = settings(tmp_path)
    text = path.read_text()
    path.write_text(text + asked if asked.startswith("[") else text.replace("[tiles]", f"{asked}[tiles]"))
    run = open_run(tmp_path / "run", config=path)
    with pytest.raises(BadConfig, match=f"{setting}: cuda was asked for"):
        run_all(run)
    assert works.done == []


def test_what_a_gpu_has_done_is_no_reason_to_ask_for_it_again(works, monkeypatch, tmp_path):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    path = settings(tmp_path)
    path.write_text(path.read_text() + '[generator]\ndevice = "cuda"\n')
    run_all(open_run(tmp_path / "run", config=path))
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert all(outcome.was_current for outcome in run_all(open_run(tmp_path / "run")))


def test_the_settings_that_a_run_keeps_are_those_of_that_run_wherever_it_lies(tmp_path):
    (tmp_path / "recipes").mkdir()
    first = open_run(tmp_path / "runs" / "small", config=settings(tmp_path / "recipes"))
    (tmp_path / "moved").mkdir()
    (tmp_path / "runs" / "small").rename(tmp_path / "moved" / "elsewhere")
    own = tmp_path / "moved" / "elsewhere" / "config.toml"
    assert run_root(first.config, own) == own.parent
    assert settings_base(own).resolve() == (tmp_path / "recipes").resolve()
    assert open_run(own.parent, config=own).base == (tmp_path / "recipes").resolve()


def test_a_run_that_is_to_end_before_it_begins_is_refused_in_these_words(works, tmp_path):
    run = open_run(tmp_path / "run", config=settings(tmp_path))
    with pytest.raises(BadConfig, match="samples comes after generator"):
        run_all(run, first="samples", until="generator")
    assert works.done == []
