from __future__ import annotations

import json
import math
from functools import partial

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from hdgan.classifier.config import ClassifierConfig
from hdgan.classifier.ensemble import Ensemble, agreement, image_score
from hdgan.classifier.factored import logits_reference
from hdgan.classifier.fit import fit_member
from hdgan.classifier.member import Epoch, save_member
from hdgan.classifier.pixels import pixel_table, validation_table
from hdgan.classifier.sampling import draw_pixels
from hdgan.classifier.stage import fit_ensemble, write_curves
from hdgan.classifier.tap_weights import weighted
from hdgan.errors import BadInput, DamagedArtifact, Diverged
from hdgan.features import moments
from hdgan.features.upsample import upsample_reference
from hdgan.generator.protocol import TapSpec
from hdgan.labels import ClassMap, LabelClass

CLASSES = ClassMap((LabelClass("a", "#000000"), LabelClass("b", "#ff0000"), LabelClass("c", "#00ff00")))
TAPS = (TapSpec("b8.conv1", 6, 8), TapSpec("b32.conv1", 4, 32))
FACTS = {"num_blocks": 2, "generator_hash": "x", "resolution": 32, "mpp": 2.0, "annotator": "exact truth"}
CONFIG = ClassifierConfig(hidden=(16, 8), members=2, epochs=6, batch_pixels=128, pixels_per_image=400, lr=5e-3, dropout=0.1)


def image(seed: int) -> tuple[tuple[torch.Tensor, ...], np.ndarray]:
    """Maps of two scales, and a mask that needs both: the sign of a coarse and of a fine channel, mixed with others."""
    generator = torch.Generator().manual_seed(seed)
    maps = tuple(torch.randn(tap.channels, tap.resolution, tap.resolution, generator=generator) for tap in TAPS)
    coarse, fine = (part.sum(dim=0) for part in upsample_reference([maps[0][:2], maps[1][:2]], 32).split([2, 2]))
    mask = torch.where(coarse > 0, 2, (fine > 0).long())
    return maps, mask.to(torch.uint8).numpy()


TRAIN, VALIDATE, TEST = ([image(seed) for seed in seeds] for seeds in (range(8), range(8, 10), range(10, 14)))


@pytest.fixture(scope="module")
def fitted():
    return fit_ensemble(TRAIN, VALIDATE, CONFIG, classes=CLASSES, taps=TAPS, facts=FACTS, seed=0)[0]


def test_the_ensemble_learns_a_rule_that_needs_two_scales(fitted):
    accuracy = np.mean([(fitted.predict(maps, size=32).mask == mask).mean() for maps, mask in TEST])
    assert accuracy > 0.9


def test_one_scale_alone_is_not_enough():
    def only_fine(images):
        return [((maps[1],), mask) for maps, mask in images]

    ensemble, _ = fit_ensemble(only_fine(TRAIN), only_fine(VALIDATE), CONFIG, classes=CLASSES, taps=TAPS[1:], facts=FACTS, seed=0)
    accuracy = np.mean([(ensemble.predict(maps, size=32).mask == mask).mean() for maps, mask in only_fine(TEST)])
    assert accuracy < 0.75


def test_wrong_pixels_are_less_certain_than_right_ones(fitted):
    found = [(fitted.predict(maps, size=32), mask) for maps, mask in TEST]
    wrong = np.concatenate([(p.mask != mask).ravel() for p, mask in found])
    unsure = np.concatenate([p.uncertainty.ravel() for p, _ in found])
    assert unsure[wrong].mean() > 2 * unsure[~wrong].mean()
    assert unsure.min() >= 0
    assert unsure.max() <= math.log(3)


def test_what_a_map_counts_is_in_the_standardisation_that_is_fitted_with():
    counted, fine = (
        fit_ensemble(
            TRAIN[:1],
            [],
            CONFIG.model_copy(update={"tap_weights": by, "epochs": 1, "members": 1, "calibrate": False}),
            classes=CLASSES,
            taps=TAPS,
            facts=FACTS,
            seed=0,
        )[0].standardiser
        for by in ("channels", "fine")
    )
    expected = weighted(counted, TAPS, by="fine")
    assert torch.equal(fine.std, expected.std)
    assert not torch.equal(fine.std, counted.std)


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(fitted, tmp_path):
    config = CONFIG.model_copy(update={"components": 7, "input_dropout": 0.1, "input_noise": 0.1, "input_noise_chance": 0.5, "epochs": 2})
    fit = partial(fit_ensemble, TRAIN, VALIDATE, config, classes=CLASSES, taps=TAPS, facts=FACTS)
    for name, seed in {"one": 0, "two": 0, "other": 1}.items():
        fit(seed=seed)[0].save(tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert (tmp_path / "one").read_bytes() != (tmp_path / "other").read_bytes()


@pytest.mark.parametrize("settings", [{}, {"components": 7, "loss": "cross-entropy"}, {"preset": "linear", "members": 1}])
def test_the_same_seed_gives_the_same_bytes_with_any_number_of_threads(tmp_path, settings):
    # Wide and long enough that torch shares the sums over a batch among threads.
    maps = [torch.randn(200, 32, 32, generator=torch.Generator().manual_seed(i)) for i in range(3)]
    images = [((m,), ((m[0] > 0).long() + (m[1] > 1).long()).to(torch.uint8).numpy()) for m in maps]
    config = ClassifierConfig(**({"members": 2, "hidden": (128, 32)} | settings), epochs=2, batch_pixels=512, pixels_per_image=1024)
    before = torch.get_num_threads()
    try:
        for num in (1, 2, 3):
            torch.set_num_threads(num)
            taps = [TapSpec("b32.conv1", 200, 32)]
            ensemble, curve = fit_ensemble(images[:2], images[2:], config, classes=CLASSES, taps=taps, facts=FACTS, seed=0)
            assert torch.get_num_threads() == num
            ensemble.save(tmp_path / f"{num}")
            write_curves(tmp_path / f"{num}-curves", curve)
    finally:
        torch.set_num_threads(before)
    for num in (2, 3):
        assert (tmp_path / f"{num}").read_bytes() == (tmp_path / "1").read_bytes()
        assert (tmp_path / f"{num}-curves" / "curves.jsonl").read_bytes() == (tmp_path / "1-curves" / "curves.jsonl").read_bytes()


@pytest.mark.parametrize(
    "settings",
    [
        {"preset": "linear", "hidden": ()},
        {"hidden": (16,), "dropout": (0.1,), "norm": "none"},
        {"order": "norm-relu", "class_weights": "inverse", "sampling": "balanced"},
        {"components": 8, "loss": "cross-entropy-dice", "schedule": "cosine", "sampling": "uniform"},
    ],
    ids=["linear", "no norm", "norm before relu", "components"],
)
def test_every_shape_is_stored_and_predicts_as_its_modules_do(tmp_path, settings):
    config = CONFIG.model_copy(update={"epochs": 3, **settings})
    ensemble, curve = fit_ensemble(TRAIN, VALIDATE, config, classes=CLASSES, taps=TAPS, facts=FACTS, seed=0)
    ensemble.save(tmp_path / "e")
    again = Ensemble.load(tmp_path / "e")
    maps = TEST[0][0]
    plain = logits_reference(again.members, again.standardiser, maps, size=32) / again.temperature
    mean, _ = agreement(plain)
    found = again.predict(maps, size=32)
    assert (found.mask == mean.argmax(dim=0).numpy()).mean() > 0.999
    np.testing.assert_allclose(found.confidence, mean.max(dim=0).values.numpy(), atol=1e-4)
    np.testing.assert_allclose(found.entropy, torch.special.entr(mean).sum(dim=0).numpy(), atol=1e-4)
    assert len(again.members[0].linears) == len(config.hidden) + 1
    assert curve[2].loss < curve[0].loss


def test_probabilities_of_balanced_pixels_are_for_the_true_shares_and_calibrated():
    """One class in fifty, drawn as often as the others: uncorrected it would be promised far too often."""
    config = CONFIG.model_copy(
        update={"sampling": "balanced", "members": 1, "hidden": (), "dropout": 0.0, "pixels_per_image": 60, "epochs": 25}
    )

    def rare(seed):
        maps, _ = image(seed)
        draw = np.random.default_rng(seed)
        logits = maps[1][0].numpy() + 2.0 * draw.normal(size=(32, 32))
        return maps, (logits > 4.2).astype(np.uint8)

    train, validate, test = ([rare(seed) for seed in seeds] for seeds in (range(40), range(40, 48), range(50, 70)))
    share = np.mean([mask.mean() for _, mask in test])
    promised = {}
    for corrects in (True, False):
        used = config.model_copy(update={"prior_correction": corrects})
        ensemble, _ = fit_ensemble(train, validate, used, classes=CLASSES, taps=TAPS, facts=FACTS, seed=0)
        found = [ensemble.predict(maps, size=32) for maps, _ in test]
        chance = np.concatenate([np.where(p.mask == 1, p.confidence, 1 - p.confidence).ravel() for p in found])
        promised[corrects] = float(chance.mean())
    assert share < 0.04
    assert abs(promised[True] - share) < 0.5 * share
    assert promised[False] > 3 * share


def test_mask_offsets_show_rare_classes_sooner_and_leave_the_probabilities():
    brief = CONFIG.model_copy(update={"epochs": 1, "keep": "last"})
    plain, favoured = (
        fit_ensemble(TRAIN[:2], VALIDATE, brief.model_copy(update={"mask_balance": b}), classes=CLASSES, taps=TAPS, facts=FACTS, seed=0)[0]
        for b in (0.0, 1.0)
    )
    counts = np.bincount(np.concatenate([mask.ravel() for _, mask in TRAIN[:2]]), minlength=3)
    np.testing.assert_allclose(favoured.mask_offsets.numpy(), -np.log(counts / counts.sum()), rtol=1e-5)
    one, two = (e.predict(TEST[0][0], size=32) for e in (plain, favoured))
    rarest = int(counts.argmin())
    assert (two.mask == rarest).sum() > (one.mask == rarest).sum()
    assert np.array_equal(one.entropy, two.entropy)


def test_a_stored_ensemble_of_earlier_versions_predicts_as_it_did(fitted, tmp_path):
    plain = Ensemble(
        fitted.members, standardiser=fitted.standardiser, classes=CLASSES, taps=TAPS, facts=FACTS | {"hidden": [16, 8], "dropout": 0.1}
    )
    plain.save(tmp_path / "earlier")
    again = Ensemble.load(tmp_path / "earlier")
    assert again.temperature == 1.0
    found, _ = agreement(logits_reference(again.members, again.standardiser, TEST[0][0], size=32))
    assert np.array_equal(again.predict(TEST[0][0], size=32).mask, found.argmax(dim=0).numpy())


def test_the_training_loss_can_end_a_member(monkeypatch):
    config = CONFIG.model_copy(update={"stall_batches": 5, "stall_from_epoch": 2, "epochs": 50, "members": 1, "lr": 1e-8})
    _, curve = fit_ensemble(TRAIN[:1], [], config, classes=CLASSES, taps=TAPS, facts=FACTS, seed=0)
    assert len(curve) == 3


def test_curves_are_lines_and_tensorboard_events(tmp_path):
    curve = [Epoch(member, epoch, 1.0 / (epoch + 1), 0.5, math.nan) for member in (0, 1) for epoch in range(3)]
    write_curves(tmp_path, curve)
    rows = [json.loads(line) for line in (tmp_path / "curves.jsonl").read_text().splitlines()]
    assert [Epoch.from_json(row).loss for row in rows] == [row.loss for row in curve]
    assert rows[0]["validation_loss"] is None
    reader = EventAccumulator(str(tmp_path / "events" / "member-001")).Reload()
    assert [(e.step, round(e.value, 3)) for e in reader.Scalars("loss")] == [(0, 1.0), (1, 0.5), (2, 0.333)]
    assert set(reader.Tags()["scalars"]) == {"loss", "macro_dice"}


def test_the_choice_of_an_epoch_never_falls_below_the_last_one():
    standardiser = moments.measure((maps for maps, _ in TRAIN), size=32)
    _, curve = fit_member(TRAIN, VALIDATE, CONFIG, standardiser=standardiser, num_classes=3, seed=0, number=0)
    assert [row.epoch for row in curve] == list(range(6))
    assert curve[-1].loss < curve[0].loss
    assert max(row.macro_dice for row in curve) >= curve[-1].macro_dice


def test_a_fit_continued_from_finished_members_gives_the_same_bytes(fitted, tmp_path):
    keep = tmp_path / "members"
    fit_ensemble(TRAIN, VALIDATE, CONFIG.model_copy(update={"members": 1}), classes=CLASSES, taps=TAPS, facts=FACTS, seed=0, keep=keep)
    assert len(list(keep.iterdir())) == 1
    (keep / "member-001.safetensors").write_bytes(b"cut short")
    continued, _ = fit_ensemble(TRAIN, VALIDATE, CONFIG, classes=CLASSES, taps=TAPS, facts=FACTS, seed=0, keep=keep)
    continued.save(tmp_path / "continued")
    fitted.save(tmp_path / "straight")
    assert (tmp_path / "continued").read_bytes() == (tmp_path / "straight").read_bytes()


@pytest.mark.parametrize("settings", [{}, {"optimiser": "sgd", "lr": 0.05, "momentum": 0.9}], ids=["adam", "sgd"])
def test_a_fit_killed_in_any_epoch_goes_on_to_the_same_bytes(tmp_path, monkeypatch, settings):
    config = CONFIG.model_copy(update=settings)
    fit = partial(fit_ensemble, TRAIN, VALIDATE, config, classes=CLASSES, taps=TAPS, facts=FACTS, seed=0)
    fit()[0].save(tmp_path / "straight")
    keep, num_written = tmp_path / "members", []

    def killed_often(*args):
        save_member(*args)
        num_written.append(1)
        if len(num_written) % 3 == 0:
            raise KeyboardInterrupt

    monkeypatch.setattr("hdgan.classifier.fit.save_member", killed_often)
    ensemble, num_kills = None, 0
    while ensemble is None:
        try:
            ensemble, curve = fit(keep=keep)
        except KeyboardInterrupt:
            num_kills += 1
    ensemble.save(tmp_path / "continued")
    assert num_kills == 4
    assert len(num_written) == 12 == len(curve)  # no epoch was done twice
    assert (tmp_path / "continued").read_bytes() == (tmp_path / "straight").read_bytes()


def test_large_validation_images_count_by_an_even_draw_of_their_pixels(monkeypatch):
    everything, labels = validation_table(VALIDATE, seed=0)
    assert len(labels) == 2 * 32 * 32
    monkeypatch.setattr("hdgan.classifier.pixels.VALIDATION_PIXELS", 500)
    some, drawn = validation_table(VALIDATE, seed=0)
    assert len(drawn) == 1000
    assert torch.equal(validation_table(VALIDATE, seed=0)[0], some)
    shares = [torch.bincount(found, minlength=3) / len(found) for found in (labels, drawn)]
    assert (shares[0] - shares[1]).abs().max() < 0.05
    rows = {row.numpy().tobytes() for row in everything}
    assert all(row.numpy().tobytes() in rows for row in some)


def test_a_stored_ensemble_predicts_the_same(fitted, tmp_path):
    fitted.save(tmp_path / "e.safetensors")
    again = Ensemble.load(tmp_path / "e.safetensors")
    ours, theirs = (e.predict(TEST[0][0], size=32) for e in (fitted, again))
    assert np.array_equal(ours.mask, theirs.mask)
    assert np.array_equal(ours.uncertainty, theirs.uncertainty)
    assert (again.annotator, again.num_blocks, again.taps, again.classes) == ("exact truth", 2, TAPS, CLASSES)


def test_a_damaged_ensemble_is_refused(fitted, tmp_path):
    path = tmp_path / "e.safetensors"
    fitted.save(path)
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(DamagedArtifact, match=r"e\.safetensors"):
        Ensemble.load(path)


def test_ignored_pixels_are_never_drawn_and_rare_classes_more_often():
    mask = np.zeros((64, 64), dtype=np.uint8)
    mask[:4, :16] = 1
    mask[32:] = 255
    draw = np.random.default_rng(0)
    counts = np.zeros((2, 2))
    for balance in (0, 1):
        rows, columns = draw_pixels(mask, num=200, balance=float(balance), draw=draw)
        assert len(set(zip(rows.tolist(), columns.tolist(), strict=True))) == 200
        counts[balance] = np.bincount(mask[rows, columns], minlength=2)
    assert counts.sum() == 400
    assert counts[0, 1] < 20 < 40 < counts[1, 1] <= 64


def test_the_table_holds_the_features_of_the_drawn_pixels():
    features, labels = pixel_table(TRAIN[:1], CONFIG.model_copy(update={"pixels_per_image": 10_000}), seed=0, member=0)
    maps, mask = TRAIN[0]
    assert torch.equal(labels, torch.from_numpy(mask.astype(np.int64)).flatten())
    torch.testing.assert_close(features, upsample_reference(maps, 32).flatten(1).t(), rtol=0, atol=1e-5)


def test_unlabelled_images_and_diverging_steps_are_told_in_one_line():
    blank = [(maps, np.full_like(mask, 255)) for maps, mask in TRAIN[:1]]
    with pytest.raises(BadInput, match="no pixel"):
        pixel_table(blank, CONFIG, seed=0, member=0)
    with pytest.raises(BadInput, match="training part"):
        fit_ensemble([], [], CONFIG, classes=CLASSES, taps=TAPS, facts=FACTS, seed=0)
    wild = CONFIG.model_copy(update={"optimiser": "sgd", "lr": 1e30})
    with pytest.raises(Diverged, match=r"lower classifier\.lr"):
        fit_ensemble(TRAIN[:1], [], wild, classes=CLASSES, taps=TAPS, facts=FACTS, seed=0)


def test_the_score_of_an_image_is_the_mean_of_its_most_uncertain_tenth():
    values = np.arange(100, dtype=np.float32).reshape(10, 10)
    assert image_score(values) == pytest.approx(np.arange(90, 100).mean())
    assert image_score(np.ones((1, 3), dtype=np.float32)) == 1.0
