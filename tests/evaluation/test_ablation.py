from __future__ import annotations

import csv
import dataclasses
import io
import json
import shutil
from functools import partial

import numpy as np
import pytest
import torch

from hdgan.annotations.reader import AnnotationSet
from hdgan.classifier.config import ClassifierConfig
from hdgan.errors import BadInput, Diverged
from hdgan.evaluation import ablation, trials
from hdgan.evaluation.ablation import Fitted, Trial, charts_of, run_trials, seed_of, table
from hdgan.evaluation.trials import TRIALS, BlockMaps, Subject, first_members
from hdgan.features.bank import FeatureBank
from hdgan.generator.weights import FILE, load_generator, untrained_like
from hdgan.plots.figures import charts
from hdgan.progress import Silent
from hdgan.store.atomic import read_image, write_png
from hdgan.store.bank import SampleBank
from hdgan.store.hashing import hash_json

SETTINGS = ClassifierConfig(hidden=(8, 8), members=1, epochs=1, batch_pixels=512, pixels_per_image=200)


@pytest.fixture(scope="module")
def subject(small_run):
    weights = small_run.generator / FILE
    return Subject(
        generator=load_generator(weights),
        untrained=partial(untrained_like, weights, seed=0),
        bank=SampleBank(small_run.samples),
        annotated=AnnotationSet(small_run.annotations),
        features=FeatureBank(small_run.features),
        settings=SETTINGS,
        seed=0,
    )


class Heard(Silent):
    def __init__(self):
        self.notes = []

    def advance(self, steps=1, *, note=""):
        self.notes.append(note)


class Perfect:
    """Trials whose masks are right, or wrong everywhere; they count how often they were made."""

    def __init__(self, annotated):
        self.annotated = annotated
        self.made = []

    def trial(self, what, value, repeat=0, *, is_right=True, quality=None):
        def fit():
            self.made.append((what, value, repeat))
            wrong = lambda name: 1 - self.annotated.mask(name)  # noqa: E731 - two classes
            return Fitted(self.annotated.mask if is_right else wrong, self.annotated, quality)

        return Trial(what, value, repeat, fit)


@pytest.fixture
def perfect(subject):
    return Perfect(subject.annotated)


def run(trials, subject, out, **made_from):
    return run_trials(trials, subject.annotated.split, distance_px=1.0, made_from=made_from, out=out)


def test_each_trial_has_a_row_for_validation_and_one_for_test(perfect, subject, tmp_path):
    rows = run([perfect.trial("head", "mlp"), perfect.trial("head", "linear", is_right=False)], subject, tmp_path)
    assert [(row["value"], row["part"], row["images"]) for row in rows] == [
        *(("mlp", "validate", 2), ("mlp", "test", 6)),
        *(("linear", "validate", 2), ("linear", "test", 6)),
    ]
    assert [row["macro_dice"] for row in rows] == [1, 1, 0, 0]
    assert [row["boundary_iou"] for row in rows] == [1, 1, 0, 0]
    assert rows[0]["hd95_px"] == 0
    assert rows[0]["dice"] == [1, 1, None]


def test_finished_trials_are_kept_and_others_made_when_it_goes_on(perfect, subject, tmp_path):
    trials = [perfect.trial("images", "1", repeat) for repeat in range(3)]
    first = run(trials[:2], subject, tmp_path, inputs="a")
    again = run(trials, subject, tmp_path, inputs="a")
    assert again[:4] == first
    assert perfect.made == [("images", "1", repeat) for repeat in range(3)]
    run(trials[:1], subject, tmp_path, inputs="b")  # other inputs: nothing is kept
    assert len(perfect.made) == 4


def test_a_trial_that_fails_leaves_those_before_it(perfect, subject, tmp_path):
    def broken():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run([perfect.trial("head", "mlp"), Trial("head", "linear", 0, broken)], subject, tmp_path)
    run([perfect.trial("head", "mlp")], subject, tmp_path)
    assert len(perfect.made) == 1


def test_the_table_has_every_number_and_the_chart_means_and_spreads(perfect, subject, tmp_path):
    trials = [perfect.trial("images", "1", 0), perfect.trial("images", "1", 1, is_right=False), perfect.trial("images", "2", 0)]
    rows = run(trials, subject, tmp_path)
    lines = list(csv.DictReader(io.StringIO(table(rows, subject.annotated.classes))))
    assert len(lines) == 6
    assert lines[0]["dice: dark"] == "1.0"
    assert lines[0]["dice: never seen"] == ""
    assert lines[0]["quality"] == ""
    assert lines[0]["accuracy: dark"] == "1.0"
    assert [float(lines[0][f"pixel_accuracy_{end}"]) for end in ("low", "high")] == [1.0, 1.0]
    assert float(lines[3]["macro_dice"]) == 0
    (chart,) = charts_of(rows)
    assert chart.places == ["1", "2"]
    assert list(chart.lines[0].middle) == [0.5, 1.0]
    assert list(chart.lines[0].spread) == [0.5, 0.0]
    assert charts([chart]).ndim == 3


def test_rows_that_earlier_versions_kept_have_empty_cells_for_what_they_did_not_measure(perfect, subject, tmp_path):
    (first, _) = run([perfect.trial("head", "mlp")], subject, tmp_path)
    old = {name: value for name, value in first.items() if name not in ("recall", "step", "macro_dice_low")}
    (line,) = csv.DictReader(io.StringIO(table([old], subject.annotated.classes)))
    assert (line["accuracy: dark"], line["step"], line["macro_dice_low"]) == ("", "", "")
    assert line["macro_dice_high"] == "1.0"


DRAWN = ("000002", "000007", "000015")


@pytest.fixture
def with_random(subject):
    """A split with a fourth part."""
    apart = {part: tuple(name for name in names if name not in DRAWN) for part, names in subject.annotated.split.items()}
    return {**apart, "random": DRAWN}


def test_images_drawn_at_random_have_a_third_row_and_a_fourth_line(perfect, subject, with_random, tmp_path):
    trials = [perfect.trial("images", "1"), perfect.trial("images", "2", is_right=False)]
    rows = run_trials(trials, with_random, distance_px=1.0, made_from={}, out=tmp_path)
    assert [(row["value"], row["part"]) for row in rows] == [(value, part) for value in "12" for part in ("validate", "test", "random")]
    assert [row["images"] for row in rows if row["part"] == "random"] == [3, 3]
    lines = list(csv.DictReader(io.StringIO(table(rows, subject.annotated.classes))))
    assert [line["part"] for line in lines] == ["validate", "test", "random"] * 2
    (chart,) = charts_of(rows)
    assert [line.name for line in chart.lines][3:] == ["macro Dice, drawn at random"]
    assert list(chart.lines[3].middle) == [1.0, 0.0]


def test_the_row_of_images_drawn_at_random_is_counted_on_them_alone_and_progress_tells_of_the_others(subject, with_random, tmp_path):
    annotated = subject.annotated
    wrong_there = lambda name: 1 - annotated.mask(name) if name in DRAWN else annotated.mask(name)  # noqa: E731 - two classes
    trial, heard = Trial("head", "mlp", 0, lambda: Fitted(wrong_there, annotated)), Heard()
    rows = run_trials([trial], with_random, distance_px=1.0, made_from={}, out=tmp_path, progress=heard)
    assert [row["pixel_accuracy"] for row in rows] == [1, 1, 0]
    assert heard.notes == ["head mlp: macro Dice 1.000"]


def test_trials_that_lack_the_row_of_images_drawn_at_random_are_made_again(perfect, subject, with_random, tmp_path):
    run([perfect.trial("head", "mlp")], subject, tmp_path)
    for _ in range(2):
        rows = run_trials([perfect.trial("head", "mlp")], with_random, distance_px=1.0, made_from={}, out=tmp_path)
        assert [row["part"] for row in rows] == ["validate", "test", "random"]
    assert len(perfect.made) == 2


def test_without_images_drawn_at_random_kept_trials_are_those_that_they_always_were(perfect, subject, tmp_path):
    rows = run([perfect.trial("head", "mlp")], subject, tmp_path, inputs="a")
    kept = json.loads((tmp_path / "rows" / "head-mlp-0.json").read_text())
    assert kept == {"made_from": hash_json({"schema": 2, "distance_px": 1.0, "inputs": "a"}), "rows": rows}
    (chart,) = charts_of(rows)
    assert [line.name for line in chart.lines] == ["macro Dice, test", "boundary IoU, test", "macro Dice, validation"]


def test_snapshots_lie_at_the_quality_of_their_images(perfect, subject, tmp_path):
    trials = [perfect.trial("snapshots", "1000", quality=20.0), perfect.trial("snapshots", "9000", quality=5.0)]
    (chart,) = charts_of(run(trials, subject, tmp_path))
    assert (chart.places, chart.at) == (["9000", "1000"], [5.0, 20.0])
    (unplaced,) = charts_of(run([perfect.trial("snapshots", "1000")], subject, tmp_path / "other"))
    assert unplaced.at is None


def test_every_question_has_a_title():
    assert set(ablation.TITLES) == {*TRIALS, "snapshots"}


def test_maps_of_the_last_blocks_are_those_that_the_generator_gives(subject):
    maps_of = BlockMaps(subject)
    assert maps_of.num_blocks == 4
    few = Subject(**{**vars(subject), "features": Fewer(subject.features, 2)})
    for k in range(1, 5):
        name = subject.annotated.names[0]
        w = torch.from_numpy(subject.bank.latent(subject.bank.by_name(name).index))[None]
        _, expected = subject.generator.render_taps(w, num_blocks=k)
        for found in (maps_of(name, num_blocks=k), BlockMaps(few)(name, num_blocks=k)):
            assert len(found) == len(expected)
            for a, b in zip(found, expected, strict=True):
                assert torch.allclose(a, b[0], atol=1e-6)


class Fewer:
    """A bank that holds only the finest maps of another."""

    def __init__(self, bank, num_taps, **facts):
        self.taps, self.images, self._bank, self._num = bank.taps[-num_taps:], bank.images, bank, num_taps
        self.facts = dataclasses.replace(bank.facts, **facts)

    def maps(self, name):
        return [m.to(getattr(torch, self.facts.dtype)) for m in self._bank.maps(name)[-self._num :]]


def test_coarse_maps_are_rounded_as_the_stored_ones_are(subject):
    half = dataclasses.replace(subject, features=Fewer(subject.features, 2, dtype="float16"))
    name = subject.annotated.names[0]
    found, exact = (BlockMaps(which)(name, num_blocks=4) for which in (half, subject))
    assert {m.dtype for m in found} == {torch.float16}
    for a, b in zip(found, exact, strict=True):
        assert torch.equal(a, b.half())


def test_coarse_maps_are_not_drawn_for_a_picture_that_is_no_longer_what_its_latent_gives(subject, tmp_path):
    shutil.copytree(subject.bank.folder, tmp_path / "samples")
    name, other = subject.annotated.names[:2]
    path = tmp_path / "samples" / "images" / f"{name}.png"
    write_png(path, np.ascontiguousarray(read_image(path)[:, ::-1]))
    maps_of = BlockMaps(dataclasses.replace(subject, features=Fewer(subject.features, 2), bank=SampleBank(tmp_path / "samples")))
    assert len(maps_of(other, num_blocks=4)) == len(subject.generator.taps(4))
    with pytest.raises(BadInput, match=f"{name} is not what its latent gives"):
        maps_of(name, num_blocks=4)


def test_more_images_hold_the_fewer_ones_and_repetitions_differ(subject, monkeypatch):
    asked = []
    monkeypatch.setattr(Subject, "fit", lambda *_, seed, train: asked.append((seed, train)))
    for trial in TRIALS["images"](subject, 2):
        trial.fit()
    chosen = [set(train) for _, train in asked]
    assert [len(names) for names in chosen] == [1, 1, 2, 2, 4, 4, 8, 8]
    assert chosen[0] < chosen[2] < chosen[4] < chosen[6] == set(subject.annotated.split["train"])
    assert chosen[4] != chosen[5]
    assert {seed for seed, _ in asked} == {0, seed_of(0, 1)}


def test_fewer_heads_are_the_first_of_more(subject):
    plain = SETTINGS.model_copy(update={"calibrate": False})  # three members are less sure of themselves than one
    whole = subject.fit(subject.features.maps, plain.model_copy(update={"members": 3}), seed=0)
    alone = subject.fit(subject.features.maps, plain, seed=0)
    name = subject.annotated.names[0]
    found, expected = (e.predict(subject.features.maps(name), size=32, with_chances=True) for e in (first_members(whole, 1), alone))
    assert np.array_equal(found.chances, expected.chances)
    assert len(whole.members) == 3


def test_clean_ups_share_one_ensemble_and_off_is_the_ensemble_itself(subject, tmp_path, monkeypatch):
    fits = []
    real = Subject.fit

    def counted(self, *given, **named):
        fits.append(named["seed"])
        return real(self, *given, **named)

    monkeypatch.setattr(Subject, "fit", counted)
    trials = list(TRIALS["cleanup"](subject, 1))
    off, *others = (trial.fit() for trial in trials)
    assert fits == [0]
    name = subject.annotated.split["test"][0]
    ensemble = real(subject, subject.features.maps, SETTINGS, seed=0)
    assert np.array_equal(off.predict(name), ensemble.predict(subject.features.maps(name), size=32).mask)
    assert any(not np.array_equal(off.predict(name), other.predict(name)) for other in others)


@pytest.mark.parametrize("what", ["controls", "dropout", "taps"])
def test_a_question_is_answered_on_a_whole_run(what, subject, tmp_path):
    rows = run(list(TRIALS[what](subject, 1)), subject, tmp_path)
    values = list(dict.fromkeys(row["value"] for row in rows))
    assert (
        values
        == {
            "controls": ["hdgan", "filters", "untrained", "constant"],
            "dropout": ["0", "0.1", "0.3", "0.5", "0.7"],
            "taps": ["channels", "maps", "fine"],
        }[what]
    )
    assert all(0 < row["macro_dice"] < 1 for row in rows)


def test_presets_are_fitted_with_the_step_of_the_best_validation_score(subject, tmp_path, monkeypatch):
    """Known truth: one step labels rightly, one diverges, all others call everything one class."""
    monkeypatch.setattr(trials, "PRESETS", ("default", "hdgan-paper"))
    fitted = []

    def fit(_, maps_of, settings, *, seed, **more):
        fitted.append((settings.preset, settings.lr, settings.members, seed))
        if settings.lr in (1.0, 3e-2):
            raise Diverged("too far")
        return settings.lr

    def told(self, lr, _):
        return Fitted(self.annotated.mask if lr in (1e-2, 3e-3) else lambda name: 0 * self.annotated.mask(name), self.annotated)

    monkeypatch.setattr(Subject, "fit", fit)
    monkeypatch.setattr(Subject, "fitted", told)
    rows = run(list(TRIALS["presets"](subject, 2)), subject, tmp_path)
    assert {(row["value"], row["step"]) for row in rows} == {("default", 3e-3), ("hdgan-paper", 1e-2)}
    assert all(row["macro_dice"] == 1 for row in rows)
    assert fitted[5] == ("default", 3e-3, ClassifierConfig().members, 0)
    tries = [call for call in fitted if call[0] == "hdgan-paper"]
    assert [lr for _, lr, *_ in tries] == [1e-4, 1e-3, 1e-2, 1e-1, 1.0, 3.0, 10.0, 30.0, 1e-2, 1e-2]
    assert [seed for *_, seed in tries[-2:]] == [seed_of(0, 0), seed_of(0, 1)]


def test_a_linear_head_is_tried_where_the_settings_allow_one(subject):
    values = {trial.value for trial in TRIALS["head"](subject, 1)}
    assert values == {"mlp", "linear"}


def test_seeds_of_repetitions_differ_and_the_first_is_that_of_the_run():
    seeds = [seed_of(7, repeat) for repeat in range(20)]
    assert seeds[0] == 7
    assert len(set(seeds)) == 20
