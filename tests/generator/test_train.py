from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import torch

from hdgan.errors import BadConfig, Diverged, Interrupted, StaleStage
from hdgan.generator import phases, stage
from hdgan.generator import train as training
from hdgan.generator.config import GeneratorConfig
from hdgan.generator.crops import Crops
from hdgan.generator.stage import run_generator
from hdgan.generator.state import from_tensors, new_state, to_tensors
from hdgan.generator.watch import BEST
from hdgan.generator.weights import FILE, load_generator, load_snapshot, save_generator
from hdgan.progress import Silent
from hdgan.store.archive import TileArchive
from hdgan.store.atomic import write_text
from hdgan.store.stage import manifest_hash, open_stage, read_manifest, verify
from hdgan.training import checkpoint
from hdgan.training.distributed import ALONE
from hdgan.training.signals import StopRequest

from .conftest import TINY

CONFIG = GeneratorConfig(**TINY, kimg=0.1, snapshot_kimg=0.04, path_weight=2.0, mixing=0.9, ada_p=0.3)


class StopAfter(Silent):
    """Sends this process a SIGTERM after a number of steps."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    def advance(self, steps: int = 1, *, note: str = "") -> None:
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGTERM)


def run_steps(tiles, first, last, tensors=None, facts=None):
    spec, settings = CONFIG.network_spec(), CONFIG.train_settings(seed=0)
    state = new_state(spec, settings)
    if tensors is not None:
        from_tensors(state, tensors, facts)
    crops = Crops(TileArchive(tiles), chosen=range(12), size_px=16, seed=0)
    for _ in range(first, last):
        phases.train_step(state, torch.from_numpy(crops.batch(state.num_images, settings.batch)), settings)
    return to_tensors(state)


@pytest.fixture
def uninterrupted(tiles):
    return run_steps(tiles, 0, 22)


@pytest.mark.parametrize("at", [1, 2, 3, 4, 5, 7, 8, 12, 15, 16, 17, 20])
def test_training_resumed_at_any_step_is_bit_identical(at, tiles, uninterrupted, tmp_path):
    tensors, facts = run_steps(tiles, 0, at)
    checkpoint.save(tmp_path / "state", step=at, tensors=tensors, facts=facts)
    found = checkpoint.newest(tmp_path / "state")
    assert found is not None
    resumed, counters = run_steps(tiles, at, 22, found.tensors, found.facts)
    expected, expected_counters = uninterrupted
    assert counters == expected_counters
    assert resumed.keys() == expected.keys()
    for name, tensor in expected.items():
        assert torch.equal(resumed[name], tensor), name


def test_training_moves_every_weight_and_both_penalties_are_felt(tiles, uninterrupted):
    before, _ = run_steps(tiles, 0, 0)
    after, facts = uninterrupted
    still = [
        name for name in before if name.startswith(("G.", "D.")) and torch.equal(before[name], after[name]) and "noise_const" not in name
    ]
    assert still == []
    assert float(after["path_mean"]) > 0
    assert facts["num_images"] == 88


def test_a_run_stopped_by_a_signal_resumes_to_the_same_bytes(tiles, tmp_path):
    straight = run_generator(CONFIG, tiles=tiles, out=tmp_path / "straight", seed=3)
    with pytest.raises(Interrupted, match="SIGTERM"):
        run_generator(CONFIG, tiles=tiles, out=tmp_path / "stopped", seed=3, progress=StopAfter(9))
    assert not (tmp_path / "stopped" / "manifest.json").exists()
    resumed = run_generator(CONFIG, tiles=tiles, out=tmp_path / "stopped", seed=3)
    assert resumed == straight
    assert (tmp_path / "stopped" / "manifest.json").read_bytes() == (tmp_path / "straight" / "manifest.json").read_bytes()


def stopping_here(folder):
    """Opens tiles as usual, and a signal comes while it does."""
    os.kill(os.getpid(), signal.SIGUSR1)
    return TileArchive(folder)


def test_a_signal_before_the_first_step_saves_and_says_that_the_same_command_resumes(tiles, tmp_path):
    with pytest.raises(Interrupted, match="SIGUSR1 at 0 images"):
        run_generator(CONFIG, tiles=tiles, out=tmp_path / "stopped", seed=3, open_tiles=stopping_here)
    assert run_generator(CONFIG, tiles=tiles, out=tmp_path / "stopped", seed=3) == run_generator(
        CONFIG, tiles=tiles, out=tmp_path / "straight", seed=3
    )


class StopTwice(StopAfter):
    """Sends this process a second signal where it has not stopped for the first one yet."""

    def advance(self, steps: int = 1, *, note: str = "") -> None:
        super().advance(steps, note=note)
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGINT)


@pytest.fixture
def heard():
    """SIGINT acts as usual, also where the tests were started in the background, which has it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heard")
def test_a_second_signal_acts_as_usual_at_once(tiles, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run_generator(CONFIG, tiles=tiles, out=tmp_path / "g", seed=3, progress=StopTwice(2))
    assert not list(tmp_path.rglob("state-*"))  # the first one alone would have saved
    assert run_generator(CONFIG, tiles=tiles, out=tmp_path / "g", seed=3).counts["images"] == 100


class StopAtTheEnd(Silent):
    """Sends this process a SIGTERM when the last step is done."""

    def finish(self) -> None:
        os.kill(os.getpid(), signal.SIGTERM)


def test_a_signal_after_the_last_step_lets_the_weights_be_written(tiles, tmp_path):
    run_generator(CONFIG, tiles=tiles, out=tmp_path / "g", seed=3, progress=StopAtTheEnd())
    assert (tmp_path / "g" / "manifest.json").exists()


def test_what_the_statistics_tell_of_lazy_penalties_survives_a_stop(tiles, tmp_path):
    config = CONFIG.model_copy(update={"batch": 64, "kimg": 1.2, "snapshot_kimg": 2.0})
    straight = run_generator(config, tiles=tiles, out=tmp_path / "straight", seed=3)
    with pytest.raises(Interrupted):
        run_generator(config, tiles=tiles, out=tmp_path / "stopped", seed=3, progress=StopAfter(13))  # R1 is taken in steps 0 and 16
    assert run_generator(config, tiles=tiles, out=tmp_path / "stopped", seed=3) == straight
    rows = [json.loads(line) for line in (tmp_path / "stopped" / "stats.jsonl").read_text().splitlines()]
    assert {"r1", "path_length"} <= next(row for row in rows if row["images"] == 1024).keys()


@pytest.mark.parametrize(("device", "num_threads"), [("cuda", 8), ("cpu", 1)])
def test_a_gpu_has_its_crops_made_by_several_threads(device, num_threads, tiles, tmp_path, monkeypatch):
    given = {}
    monkeypatch.setattr(stage, "new_state", lambda spec, settings, **_: new_state(spec, settings))
    monkeypatch.setattr(stage, "train", lambda *given_to, **_: given.update(crops=given_to[1]))
    stage._work(
        CONFIG, tiles=tiles, open_tiles=TileArchive, out=tmp_path, seed=0, progress=Silent(), group=ALONE, device=device, stop=StopRequest()
    )
    pool = given["crops"]._pool
    assert (1 if pool is None else pool._max_workers) == num_threads


KILLED = """
import sys, torch
from pathlib import Path
from hdgan.generator.config import GeneratorConfig
from hdgan.generator.stage import run_generator
torch.set_num_threads(1)
run_generator(GeneratorConfig.model_validate_json(sys.argv[1]), tiles=Path(sys.argv[2]), out=Path(sys.argv[3]), seed=3)
"""


def test_a_killed_run_resumes_to_the_same_bytes(tiles, tmp_path):
    config = CONFIG.model_copy(update={"kimg": 0.8, "save_minutes": 1e-6})  # a state after every step
    command = [sys.executable, "-c", KILLED, config.model_dump_json(), str(tiles), str(tmp_path / "killed")]
    kills = 0
    for wait in (0.15, 0.4, 0.7):
        process = subprocess.Popen(command)
        deadline = time.monotonic() + 60
        known = set((tmp_path / "killed").rglob("state-*"))
        while not set((tmp_path / "killed").rglob("state-*")) - known and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(wait)
        process.kill()
        kills += process.wait() == -signal.SIGKILL
    assert kills >= 2
    resumed = run_generator(config, tiles=tiles, out=tmp_path / "killed", seed=3)
    straight = run_generator(config.model_copy(update={"save_minutes": 5.0}), tiles=tiles, out=tmp_path / "straight", seed=3)
    assert resumed == straight


class StopsAndHears(StopAfter):
    """Remembers what was said, too."""

    def __init__(self, steps: int) -> None:
        super().__init__(steps)
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


def test_states_of_other_networks_and_damaged_ones_are_named_and_a_training_that_begins_anew_says_so(tiles, tmp_path):
    other = CONFIG.model_copy(update={"channel_max": 4})
    for folder, config in (("g", CONFIG), ("other", other)):
        with pytest.raises(Interrupted):
            run_generator(config, tiles=tiles, out=tmp_path / folder, seed=3, progress=StopAfter(3))
    states = tmp_path / "g" / "state"
    (own,) = states.iterdir()
    (states / "state-000000099.safetensors").write_bytes((tmp_path / "other" / "state" / own.name).read_bytes())
    heard = StopsAndHears(1)
    with pytest.raises(Interrupted, match="at 16 images"):
        run_generator(CONFIG, tiles=tiles, out=tmp_path / "g", seed=3, progress=heard)
    assert "skipped a state: state-000000099.safetensors: it is of other networks" in heard.lines
    for state in states.iterdir():
        state.write_bytes(b"")
    heard = StopsAndHears(1)
    with pytest.raises(Interrupted, match="at 4 images"):
        run_generator(CONFIG, tiles=tiles, out=tmp_path / "g", seed=3, progress=heard)
    assert heard.lines[-1] == "no other state is left: the training begins anew"
    assert sum(line.startswith("skipped a state: ") for line in heard.lines) == 3


class Counting(Silent):
    """Keeps what was told of every task."""

    def __init__(self) -> None:
        self.total = self.done = 0

    def start(self, label: str, *, total: int, done: int = 0) -> None:
        self.total, self.done = total, done

    def advance(self, steps: int = 1, *, note: str = "") -> None:
        self.done += steps


def test_progress_ends_at_its_total_where_the_length_is_no_multiple_of_the_batch(tiles, tmp_path):
    config, told = CONFIG.model_copy(update={"kimg": 0.01, "snapshot_kimg": 1.0}), Counting()
    run_generator(config, tiles=tiles, out=tmp_path / "g", seed=3, progress=told)
    assert (config.batch, told.total, told.done) == (4, 12, 12)  # ten images are three batches
    assert read_manifest(tmp_path / "g").counts["images"] == 12


def test_the_averages_of_all_snapshots_stay_where_that_is_asked_for_and_change_nothing_else(tiles, tmp_path):
    short = CONFIG.model_copy(update={"kimg": 0.1, "snapshot_kimg": 0.02})
    run_generator(short, tiles=tiles, out=tmp_path / "without", seed=3)
    kept = short.model_copy(update={"keep_snapshots": True})
    run_generator(kept, tiles=tiles, out=tmp_path / "with", seed=3)
    assert kept.recorded() == short.recorded()
    assert (tmp_path / "with" / FILE).read_bytes() == (tmp_path / "without" / FILE).read_bytes()
    states = [{path.name for path in (tmp_path / name / "state").iterdir()} for name in ("with", "without")]
    assert states[0] - states[1] == {f"average-{num:09d}.safetensors" for num in (20, 40, 60, 80, 100)}
    last = load_snapshot(tmp_path / "with" / "state" / "average-000000100.safetensors", like=tmp_path / "with" / FILE)
    final = load_generator(tmp_path / "with" / FILE)
    assert last.facts["images"] == 100
    for name, value in final.network.state_dict().items():
        assert torch.equal(last.network.state_dict()[name], value), name
    assert checkpoint.newest(tmp_path / "with" / "state").facts["num_images"] == 100  # an average is no state


def test_other_settings_in_the_same_folder_are_refused_by_name(tiles, tmp_path):
    run_generator(CONFIG, tiles=tiles, out=tmp_path / "g", seed=3)
    with pytest.raises(StaleStage, match=r"config\.gamma"):
        run_generator(CONFIG.model_copy(update={"gamma": 5.0}), tiles=tiles, out=tmp_path / "g", seed=3)


def test_a_gradient_that_is_not_finite_stops_before_the_update(tiles):
    spec, settings = CONFIG.network_spec(), CONFIG.train_settings(seed=0)
    state = new_state(spec, settings)
    before = {name: value.clone() for name, value in state.D.state_dict().items()}
    real = torch.full((4, 3, 16, 16), torch.nan)
    with pytest.raises(Diverged, match=r"at image 0 \(Discriminator b16\.fromrgb\.weight, "):
        phases.train_step(state, real, settings)
    for name, value in state.D.state_dict().items():
        assert torch.equal(value, before[name])


def test_accumulated_gradients_equal_those_of_the_whole_batch_without_batch_statistics():
    spec = GeneratorConfig(**TINY).network_spec()
    from dataclasses import replace

    spec = replace(spec, minibatch_std_group=0, low_precision="float32")
    real = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    weights, reports = [], []
    for microbatch in (4, 2):
        settings = GeneratorConfig(**TINY, microbatch=microbatch, augment="none", gamma=0.0).train_settings(seed=0)
        state = new_state(spec, settings)
        fakes = [torch.zeros(microbatch, 3, 16, 16)] * (4 // microbatch)
        phases._discriminator_phase(state, real, fakes, settings)
        weights.append(state.D.state_dict())
        reports.append(state.report["loss_D"])
    assert reports[0] == pytest.approx(reports[1], rel=1e-4)
    for name, value in weights[0].items():
        torch.testing.assert_close(weights[1][name], value, rtol=1e-3, atol=1e-4)


def test_the_chance_of_augmentation_follows_the_sign_and_stays_below_its_limit():
    settings = GeneratorConfig(**TINY, ada_target=0.6).train_settings(seed=0)
    state = new_state(GeneratorConfig(**TINY).network_spec(), settings)
    state.num_steps, state.sign_sum, state.sign_count = 4, 16.0, 16
    phases._adjust_augmentation(state, settings)
    assert state.ada_p == pytest.approx(16 / 100_000)
    state.ada_p, state.sign_sum, state.sign_count = settings.ada_p_max, 16.0, 16
    phases._adjust_augmentation(state, settings)
    assert state.ada_p == settings.ada_p_max
    state.sign_sum, state.sign_count = -16.0, 16
    phases._adjust_augmentation(state, settings)
    assert state.ada_p < settings.ada_p_max


@pytest.mark.parametrize(
    ("fields", "p"), [({"augment": "none"}, 0.0), ({"ada_target": "fixed", "ada_p": 0.3}, 0.3), ({"ada_p": 0.2, "ada_p_max": 0.2}, 0.2)]
)
def test_the_chance_stands_still_where_nothing_is_augmented_or_it_is_fixed_or_at_its_limit(fields, p):
    settings = GeneratorConfig(**TINY, **fields).train_settings(seed=0)
    state = new_state(GeneratorConfig(**TINY).network_spec(), settings)
    state.num_steps, state.sign_sum, state.sign_count = 4, 16.0, 16
    phases._adjust_augmentation(state, settings)
    assert state.ada_p == p
    assert state.report["real_sign"] == 1.0  # still told


def test_a_step_on_images_in_eight_bits_is_that_on_their_values(tiles):
    seen = torch.from_numpy(Crops(TileArchive(tiles), chosen=range(12), size_px=16, seed=0).batch(0, 4))
    weights = []
    for real in (seen, (seen.float() / 127.5 - 1).contiguous(memory_format=torch.channels_last)):
        settings = CONFIG.train_settings(seed=0)
        state = new_state(CONFIG.network_spec(), settings)
        phases.train_step(state, real, settings)
        weights.append({**state.G.state_dict(), **{f"D.{name}": value for name, value in state.D.state_dict().items()}})
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())


def test_a_fold_to_hold_out_that_no_tile_is_in_is_refused_before_an_earlier_training_is_cleared(tiles, tmp_path):
    run_generator(CONFIG.model_copy(update={"kimg": 0.004}), tiles=tiles, out=tmp_path / "g", seed=0)
    before = (tmp_path / "g" / "generator.safetensors").read_bytes()
    other = CONFIG.model_copy(update={"held_out_fold": 7, "kimg": 0.004})
    with pytest.raises(BadConfig, match=r"no tile is in fold 7.*choose one of 0, 1"):
        run_generator(other, tiles=tiles, out=tmp_path / "g", seed=0, redo=True)
    assert (tmp_path / "g" / "generator.safetensors").read_bytes() == before


def test_a_fold_can_be_held_out_and_an_empty_rest_is_refused(tiles, tmp_path):
    manifest = run_generator(CONFIG.model_copy(update={"held_out_fold": 1, "kimg": 0.004}), tiles=tiles, out=tmp_path / "g", seed=0)
    assert manifest.counts["tiles"] == 8
    with pytest.raises(BadConfig, match="4096 px is more than"):
        Crops(TileArchive(tiles), chosen=[0], size_px=4096, seed=0).batch(0, 1)
    with pytest.raises(BadConfig, match="no tile is left"):
        Crops(TileArchive(tiles), chosen=[], size_px=16, seed=0)


class Begun(Silent):
    """Remembers how much was already done when the work began."""

    def start(self, label: str, *, total: int, done: int = 0) -> None:
        self.done = done


@pytest.mark.parametrize("lengths", [{"kimg": (0.05, 0.08)}, {"kimg": ((0.05,), (0.05, 0.03)), "lr_decay_from": (0.4, 0.4)}])
def test_a_longer_training_goes_on_from_the_last_state_and_ends_as_if_it_had_been_one(tiles, tmp_path, lengths):
    short, long = (CONFIG.model_copy(update={name: values[i] for name, values in lengths.items()}) for i in (0, 1))
    run_generator(short, tiles=tiles, out=tmp_path / "grown", seed=0)
    with pytest.raises(StaleStage, match="kimg"):
        run_generator(long, tiles=tiles, out=tmp_path / "grown", seed=0)
    begun = Begun()
    grown = run_generator(long, tiles=tiles, out=tmp_path / "grown", seed=0, redo=True, progress=begun)
    assert begun.done >= 50
    at_once = run_generator(long, tiles=tiles, out=tmp_path / "at_once", seed=0)
    assert grown.outputs["generator.safetensors"] == at_once.outputs["generator.safetensors"]


def test_a_shorter_training_or_one_of_other_settings_begins_anew(tiles, tmp_path):
    run_generator(CONFIG.model_copy(update={"kimg": 0.05}), tiles=tiles, out=tmp_path / "g", seed=0)
    for other in ({"kimg": 0.03}, {"kimg": 0.05, "gamma": 1.0}):
        begun = Begun()
        run_generator(CONFIG.model_copy(update=other), tiles=tiles, out=tmp_path / "g", seed=0, redo=True, progress=begun)
        assert begun.done == 0


def test_the_last_state_of_a_training_that_is_cleared_away_is_kept_and_can_be_begun_with(tiles, tmp_path):
    out, said = tmp_path / "g", Said()
    images = run_generator(CONFIG.model_copy(update={"kimg": 0.05}), tiles=tiles, out=out, seed=0).counts["images"]
    last = out / "state" / f"state-{images:09d}.safetensors"
    kept, before = out / "keep" / "state" / last.name, last.read_bytes()
    run_generator(CONFIG.model_copy(update={"kimg": 0.03, "gamma": 1.0}), tiles=tiles, out=out, seed=0, redo=True, progress=said)
    assert [path.name for path in kept.parent.iterdir()] == [kept.name]
    assert kept.read_bytes() == before
    (line,) = [line for line in said.lines if "begins anew" in line]
    assert str(kept) in line
    assert f"of {images} images" in line
    further = CONFIG.model_copy(update={"kimg": 0.02, "init_from": kept})
    run_generator(further, tiles=tiles, out=out, seed=0, redo=True, progress=said)  # that of 30 images is not worth the place of one of 50
    assert kept.read_bytes() == before
    assert verify(out) == []


def test_a_longer_training_keeps_no_second_copy_of_the_state_that_it_goes_on_from(tiles, tmp_path):
    run_generator(CONFIG.model_copy(update={"kimg": 0.05}), tiles=tiles, out=tmp_path / "g", seed=0)
    run_generator(CONFIG.model_copy(update={"kimg": 0.08}), tiles=tiles, out=tmp_path / "g", seed=0, redo=True)
    assert not (tmp_path / "g" / "keep").exists()


class Said(Silent):
    """Remembers what was said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


def variety(folder):
    rows = [json.loads(line) for line in (folder / "stats.jsonl").read_text().splitlines()]
    return [(row["images"], row["variety"]) for row in rows if "variety" in row]


@pytest.mark.parametrize(("poor", "told"), [(0.0, 0), (1e9, 3)])
def test_each_grid_says_how_varied_the_colours_are_and_little_variety_is_told(tiles, tmp_path, monkeypatch, poor, told):
    monkeypatch.setattr(training, "_POOR_VARIETY", poor)
    said = Said()
    run_generator(CONFIG, tiles=tiles, out=tmp_path / "g", seed=0, progress=said)
    found = variety(tmp_path / "g")
    assert [images for images, _ in found] == [40, 80, 100]
    assert all(value > 0 for _, value in found)
    assert sum("vary" in line for line in said.lines) == told


def test_a_training_stopped_at_a_grid_and_resumed_has_the_same_statistics(tiles, tmp_path):
    for folder, stop in (("whole", None), ("stopped", 40 // CONFIG.train_settings(seed=0).batch)):
        if stop:
            with pytest.raises(Interrupted):
                run_generator(CONFIG, tiles=tiles, out=tmp_path / folder, seed=0, progress=StopAfter(stop))
        run_generator(CONFIG, tiles=tiles, out=tmp_path / folder, seed=0)
    assert (tmp_path / "whole" / "events").is_dir()
    assert not any(name.startswith(("events", "state")) for name in read_manifest(tmp_path / "whole").outputs)
    assert (tmp_path / "whole" / "stats.jsonl").read_bytes() == (tmp_path / "stopped" / "stats.jsonl").read_bytes()


def test_the_state_of_the_best_grid_is_kept(tiles, tmp_path):
    run_generator(CONFIG, tiles=tiles, out=tmp_path / "g", seed=0)
    rows = [json.loads(line) for line in (tmp_path / "g" / "stats.jsonl").read_text().splitlines()]
    best = min((row for row in rows if BEST.name in row), key=lambda row: row[BEST.name])
    (kept,) = (tmp_path / "g" / "state").glob("best-*")
    assert kept.name == f"best-{best['images']:09d}.safetensors"
    assert checkpoint.read_tensors(kept)[1]["num_images"] == best["images"]


def test_what_is_not_finite_stops_the_run_is_recorded_and_leaves_the_last_good_state(tiles, tmp_path, monkeypatch):
    run_generator(CONFIG.model_copy(update={"kimg": 0.04}), tiles=tiles, out=tmp_path / "g", seed=0)
    good = checkpoint.newest(tmp_path / "g" / "state")

    def poisoned(crops, first, mine):
        raise_at = 60
        batch = crops.numbered(list(mine)).astype("float32")
        return batch * (float("nan") if first >= raise_at else 1)

    monkeypatch.setattr("hdgan.generator.feeding.read_batch", poisoned)
    with pytest.raises(Diverged, match="at image 60"):
        run_generator(CONFIG, tiles=tiles, out=tmp_path / "g", seed=0, redo=True)
    kept = checkpoint.newest(tmp_path / "g" / "state")
    assert kept.path == good.path
    assert kept.skipped == ()
    last = json.loads((tmp_path / "g" / "stats.jsonl").read_text().splitlines()[-1])
    assert last == {"images": 60, "warning": "not_finite"}


def test_a_state_that_is_not_finite_is_named_by_its_weight():
    state = new_state(CONFIG.network_spec(), CONFIG.train_settings(seed=0))
    training._require_finite(state)
    state.D.b4.out.weight.data[0, 0] = torch.inf
    with pytest.raises(Diverged, match=r"D\.b4\.out\.weight"):
        training._require_finite(state)


def test_weights_that_are_not_finite_are_neither_drawn_nor_written(tiles, tmp_path, monkeypatch):
    def overflowing(state, *given):
        phases.train_step(state, *given)
        if state.num_images == 40:  # that of the first grid
            state.G_average.synthesis.b16.torgb.bias.fill_(torch.inf)

    monkeypatch.setattr(training, "train_step", overflowing)
    with pytest.raises(Diverged, match=r"at image 40 the state is not finite \(G_average\.synthesis\.b16\.torgb\.bias\)"):
        run_generator(CONFIG, tiles=tiles, out=tmp_path / "g", seed=0)
    assert not list(tmp_path.rglob("*40.*"))


@pytest.mark.parametrize(
    "impossible",
    [{"condition": "stain"}, {"init_from": True, "freeze_d": 99}, {"init_from": True, "z_dim": 5}],
    ids=["a label that the tiles have not", "more frozen layers than there are", "weights of another network"],
)
def test_a_redo_by_settings_that_cannot_be_leaves_the_training_that_is_there(tiles, tmp_path, impossible):
    begun = {"stage": "generator", "config": CONFIG.recorded(), "seed": 3, "inputs": {"tiles": manifest_hash(tiles)}}
    with open_stage(tmp_path / "g", **begun) as folder:
        write_text(tmp_path / "g" / "weights", "of a week")
        folder.seal(counts={})
    if "init_from" in impossible:
        state = new_state(CONFIG.network_spec(), CONFIG.train_settings(seed=0))
        save_generator(tmp_path / "other.safetensors", state.G_average, mpp=None, trained={})
        impossible = impossible | {"init_from": tmp_path / "other.safetensors"}
    config = GeneratorConfig(**{**CONFIG.model_dump(exclude_unset=True), **impossible})
    with pytest.raises(BadConfig, match=r"generator\.(condition|freeze_d|init_from)"):
        run_generator(config, tiles=tiles, out=tmp_path / "g", seed=3, redo=True)
    assert verify(tmp_path / "g") == []


def test_damaged_weights_are_written_again_from_the_last_state_and_not_trained_again(tiles, tmp_path, monkeypatch):
    out = tmp_path / "g"
    first = run_generator(CONFIG, tiles=tiles, out=out, seed=0)
    provenance = (out / "provenance.json").read_bytes()
    grids = sorted(path.name for path in (out / "grids").iterdir())
    monkeypatch.setattr(training, "train_step", lambda *_: pytest.fail("trained again"))
    for damage in (lambda path: path.unlink(), lambda path: os.truncate(path, 1000)):
        damage(out / "generator.safetensors")
        assert verify(out) != []
        assert run_generator(CONFIG, tiles=tiles, out=out, seed=0, redo=True) == first
        assert verify(out) == []
        assert sorted(path.name for path in (out / "grids").iterdir()) == grids
    assert (out / "provenance.json").read_bytes() != provenance  # when, and with what, they were written again


@pytest.mark.parametrize("fields", [{"augment": "none", "ada_p_max": 0.0}, {"ada_target": "fixed", "ada_p": 0.8}])
def test_a_chance_of_augmentation_that_was_chosen_is_no_reason_to_warn(fields, tiles, tmp_path):
    said = Said()
    config = CONFIG.model_copy(update={"kimg": 0.08, "path_weight": 0.0, **fields})
    state = new_state(config.network_spec(), config.train_settings(seed=0))
    rows = [{"images": 1000 * i, "ada_p": state.ada_p, "real_sign": 0.5} for i in range(10)]
    tensors, facts = to_tensors(state)
    checkpoint.save(tmp_path / "state", step=0, tensors=tensors, facts=facts | {"rows": rows})
    crops = Crops(TileArchive(tiles), chosen=range(12), size_px=16, seed=0)
    upkeep = training.Upkeep(snapshot_images=40, save_seconds=60)
    training.train(state, crops, config.train_settings(seed=0), out=tmp_path, upkeep=upkeep, progress=said)
    assert state.num_images == 80
    assert not [line for line in said.lines if "at its limit" in line]
