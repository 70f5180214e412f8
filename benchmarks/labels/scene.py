"""A run with a generator of random weights, samples and painted masks, ready for features and classifiers: what the benchmarks of labelling begin with."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))

import numpy as np

SETTINGS = """[run]
name = "benchmark"
[tiles]
slides = ["none"]
mpp = 1.0
tile_px = {resolution}
[generator]
resolution = {resolution}
[annotations]
train = {train}
validate = {validate}
test = {test}
annotator = "brightness"
class_map = "classes.json"
[features]
num_blocks = {num_blocks}
source = "{source}"
dtype = "{dtype}"
{memory_budget}
[classifier]
members = {members}
epochs = {epochs}
pixels_per_image = {pixels}
{components}
"""


def channel_base(resolution: int) -> int:
    """That of the published networks."""
    return 32768 if resolution >= 512 else 16384


def split(num: int, test: int = 0) -> dict[str, int]:
    """Images of each part: of those that are not to test on, most are for the training."""
    validate = max(1, (num - test) // 8)
    return {"train": max(1, num - test - validate), "validate": validate, "test": test}


def settings(resolution: int, num: int, *, test: int = 0, **fields: Any) -> str:
    """The settings of the run as TOML; `test` of its `num` images are to test on."""
    budget = fields.pop("memory_budget_gib", None)
    usual: dict[str, Any] = {"num_blocks": 5, "source": "native", "dtype": "float32", "members": 5, "epochs": 1, "pixels": 2048}
    line = "" if budget is None else f"memory_budget_gib = {budget}"
    components = fields.pop("components", None)
    shrunk = "" if components is None else f"components = {components}"
    return SETTINGS.format(resolution=resolution, memory_budget=line, components=shrunk, **split(num, test), **(usual | fields))


def make(root: Path, *, resolution: int, num: int, test: int = 0, base: int | None = None) -> None:
    """Writes generator, samples and annotations of the run in `root`; `num` images are drawn, `test` of them to test on.

    `base`: channel base, the published one unless given.
    """
    from hdgan.annotations.stage import run_annotations
    from hdgan.generator.networks import Generator
    from hdgan.generator.spec import NetworkSpec
    from hdgan.generator.weights import FILE, TrainedGenerator, load_generator, save_generator
    from hdgan.labels import ClassMap, LabelClass
    from hdgan.pipeline.run import open_run
    from hdgan.samples.config import SamplesConfig
    from hdgan.samples.stage import fill_bank
    from hdgan.store.atomic import write_json, write_png, write_text
    from hdgan.store.bank import SampleBank
    from hdgan.store.stage import manifest_hash, open_stage
    from hdgan.training import seeds

    write_json(root / "classes.json", ClassMap((LabelClass("dark", "#202020"), LabelClass("bright", "#f0e0a0"))).to_json())
    write_text(root / "config.toml", settings(resolution, num, test=test))
    run = open_run(root)
    seeds.reseed(0, "benchmark")
    spec = NetworkSpec(resolution=resolution, channel_base=base or channel_base(resolution))
    with open_stage(run.stage("generator"), stage="generator", config={}, seed=0, inputs={}) as stage:
        network = TrainedGenerator(Generator(spec), mpp=1.0).network
        save_generator(stage.path / FILE, network, mpp=1.0, trained={})
        stage.seal(counts={})
    inputs = {"generator": manifest_hash(run.stage("generator"))}
    with open_stage(run.stage("samples"), stage="samples", config={}, seed=0, inputs=inputs) as stage:
        config = SamplesConfig(num=num, psi=1.0, shortlist=num)
        bank = fill_bank(load_generator(run.stage("generator") / FILE), config, out=stage.path, seed=0)
        stage.seal(counts={})
    bank = SampleBank(run.stage("samples"))
    for row in bank.rows:
        grey = bank.image(row.index).mean(axis=2)
        write_png(root / "masks" / f"{row.name}.png", (grey > np.median(grey)).astype(np.uint8))
    run_annotations(run.annotations(), samples=run.stage("samples"), masks=root / "masks", out=run.stage("annotations"), seed=0)


def child(script: Path, *arguments: object, threads: int = 1) -> dict[str, Any]:
    """What `script` prints as JSON in a process of its own."""
    command = [sys.executable, str(script), *map(str, arguments)]
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "PASSIVE"}
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def fitted(root: Path, idle: float) -> dict[str, Any]:
    """Seconds and the peaks of extracting and of fitting in this process, in bytes above `idle`, what the plan says of them, and bytes stored."""
    import time

    from hdgan.pipeline.feature_plan import plan_features
    from hdgan.pipeline.run import open_run, run_one
    from hdgan.training.memory import most_held

    run = open_run(root)
    plan = plan_features(run.config, root=root)
    need = plan.choice.need
    found: dict[str, Any] = {"source": plan.choice.source, "members_at_once": need.members_at_once}
    for stage in ("features", "classifier"):
        begun = time.perf_counter()
        run_one(run, stage)
        found |= {f"{stage}_seconds": time.perf_counter() - begun, f"{stage}_bytes": (most_held() or float("nan")) - idle}
    stored = sum(path.stat().st_size for name in ("maps", "upsampled") for path in (run.stage("features") / name).glob("*.npy"))
    return found | {
        "planned_extracting": need.extracting,
        "planned_fitting": need.fitting,
        "planned_bytes": need.memory,
        "planned_disk": need.disk,
        "measured_bytes": found["classifier_bytes"],
        "measured_disk": stored,
    }
