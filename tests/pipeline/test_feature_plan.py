from __future__ import annotations

import shutil
from types import SimpleNamespace

import pytest

from hdgan.errors import BadConfig
from hdgan.features.bank import FeatureBank
from hdgan.generator.weights import FILE, read_shape
from hdgan.pipeline.config import RunConfig
from hdgan.pipeline.feature_plan import members_at_once, plan_features
from hdgan.pipeline.run import open_run, run_one
from hdgan.store.atomic import read_json, write_text
from hdgan.store.hashing import hash_file
from hdgan.store.stage import read_manifest

SETTINGS = """[run]
name = "small"
[tiles]
slides = ["none"]
mpp = 3.0
tile_px = 64
[generator]
resolution = 64
[samples]
num = 16
psi = 1.0
shortlist = 4
[annotations]
train = 8
validate = 2
test = 6
annotator = "painted rule"
[features]
num_blocks = 2
[classifier]
hidden = [12, 8]
members = 3
epochs = 1
pixels_per_image = 200
batch_pixels = 128
"""


@pytest.fixture
def run(small_run, tmp_path) -> SimpleNamespace:
    """The small run up to its annotations, as a run of its own with settings; these name another generator than is there."""
    root = tmp_path / "run"
    for number, stage in ((2, "generator"), (3, "samples"), (4, "annotations")):
        shutil.copytree(getattr(small_run, stage), root / f"{number}-{stage}")
    named = f'[annotations]\nclass_map = "{small_run.masks / "classes.json"}"'
    write_text(root / "config.toml", SETTINGS.replace("[annotations]", named))
    return SimpleNamespace(root=root, config=open_run(root).config)


def with_features(config: RunConfig, **fields) -> RunConfig:
    return config.model_copy(update={"features": config.features.model_copy(update=fields)})


def test_the_plan_goes_by_the_generator_and_the_masks_that_are_there(run):
    plan = plan_features(run.config, root=run.root)
    spec, mpp = read_shape(run.root / "2-generator" / FILE)
    assert (plan.work.resolution, plan.mpp, mpp, spec.resolution) == (32, 2.0, 2.0, 32)
    assert [tap.name for tap in plan.work.taps] == [*(tap.name for tap in spec.taps(2)), "image"]
    assert plan.work.num_images == 16
    assert (plan.work.table_pixels, plan.work.validation_pixels) == (8 * 200, 2 * 32 * 32)
    assert plan.extracted is None
    shutil.rmtree(run.root / "2-generator")
    shutil.rmtree(run.root / "4-annotations")
    absent = plan_features(with_features(run.config, image=False), root=run.root)
    assert (absent.work.resolution, absent.mpp, absent.work.num_images) == (64, 3.0, 16)
    assert absent.work.taps == run.config.generator.network_spec().taps(2)


def test_disk_is_planned_to_the_byte_of_what_is_stored(run):
    for source in ("native", "upsampled"):
        opened = open_run(run.root)
        changed = opened.changed("features", source=source)
        need = plan_features(changed.config, root=run.root).choice.need
        run_one(changed, "features", redo=True)
        stored = sum(path.stat().st_size - 128 for path in (run.root / "5-features").rglob("0*.npy"))
        assert stored == need.disk


@pytest.mark.parametrize(("disk_gib", "source"), [(1.0, "native"), (1e-6, "recompute")])
def test_a_run_takes_the_source_that_fits_and_records_it(run, disk_gib, source):
    opened = open_run(run.root).changed("features", disk_budget_gib=disk_gib)
    run_one(opened, "features")
    assert read_manifest(run.root / "5-features").counts["source"] == source
    assert read_json(run.root / "5-features" / "provenance.json")["plan"]["source"] == source
    assert FeatureBank(run.root / "5-features").facts.source == source
    assert plan_features(run.config, root=run.root).extracted == source
    run_one(open_run(run.root), "features")  # another budget makes nothing stale
    assert FeatureBank(run.root / "5-features").facts.source == source


def test_a_run_gives_the_same_classifier_from_every_source_and_budget(run):
    found = set()
    for fields in (
        {"source": "native"},
        {"source": "upsampled"},
        {"source": "recompute"},
        {"source": "recompute", "memory_budget_gib": 0.1},
    ):
        opened = open_run(run.root).changed("features", **{**fields, "memory_budget_gib": None})
        run_one(opened, "features", redo=True)
        run_one(opened.changed("features", **fields), "classifier", redo=True)
        found.add(hash_file(run.root / "6-classifier" / "ensemble.safetensors"))
    assert len(found) == 1
    assert members_at_once(with_features(run.config, memory_budget_gib=0.1), root=run.root) == 1
    assert members_at_once(run.config, root=run.root) == 3


def test_an_interrupted_extraction_goes_on_with_the_source_that_it_began_with(run, monkeypatch):
    from hdgan.features import stage

    extract, done = stage.extract, []

    def killed(*args, **named):
        if len(done) == 3:
            raise KeyboardInterrupt
        done.append(args[3])
        return extract(*args, **named)

    monkeypatch.setattr(stage, "extract", killed)
    with pytest.raises(KeyboardInterrupt):
        run_one(open_run(run.root), "features")
    monkeypatch.setattr(stage, "extract", extract)
    run_one(open_run(run.root).changed("features", disk_budget_gib=1e-6), "features")
    bank = FeatureBank(run.root / "5-features")
    assert bank.facts.source == "native"
    assert len(list((run.root / "5-features" / "maps").iterdir())) == 16


def test_a_budget_that_nothing_fits_is_refused_before_anything_is_drawn(run):
    opened = open_run(run.root).changed("features", memory_budget_gib=0.01)
    with pytest.raises(BadConfig, match=r"features\.memory_budget_gib: 0\.01 GiB of memory"):
        run_one(opened, "features")
    assert not (run.root / "5-features" / "features.json").exists()


def test_fit_prints_the_plan_and_writes_nothing(run, monkeypatch, capsys):
    from hdgan.cli.fit import fit

    fit(run.root, plan=True, disk_budget=1e-6)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "5 maps of 83 channels in all, a cell of the coarsest (b16.conv0) covers 2 px = 4 um, of 16 annotated images"
    assert [line.split()[0] for line in lines[2:5]] == ["native", "recompute", "upsampled"]
    assert [line.endswith("<- chosen") for line in lines[2:5]] == [False, True, False]
    assert "disk 1 KiB" in lines[5]
    assert lines[6].startswith("recompute: native maps need")
    assert lines[7].startswith("each pass draws the images again; 3 of 3 classifiers share one")
    assert not (run.root / "5-features").exists()


def test_extract_and_fit_say_what_was_tapped_and_take_budgets(run, capsys):
    from hdgan.cli.extract import extract
    from hdgan.cli.fit import fit

    extract(run.root, disk_budget=1e-6)
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == "5 maps of 83 channels in all, a cell of the coarsest (b16.conv0) covers 2 px = 4 um; source: recompute, float32"
    fit(run.root, memory_budget=4.0)
    out = capsys.readouterr().out
    assert out.splitlines()[0].startswith("features: current")
    assert "classifier: done in" in out
    fit(run.root, plan=True)
    assert "features are there already (recompute)" in capsys.readouterr().out
