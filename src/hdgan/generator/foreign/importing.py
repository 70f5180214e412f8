"""Imports a foreign checkpoint: read in a child process, checked again here, written as files of ours.

The child hands over numbers and plain facts (safetensors) and nothing else, and what it hands over is trusted no more than
the file was: names, shapes and values are compared once more. Formats: docs/formats/generator.md.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open

from hdgan.errors import BadConfig, BadInput, BadWeights
from hdgan.generator.foreign import child
from hdgan.generator.foreign.fit import Weights, check_discriminator, check_generator, check_values
from hdgan.generator.foreign.limits import Refused, shown
from hdgan.generator.networks import Generator
from hdgan.generator.spec import NetworkSpec
from hdgan.generator.train import STATE
from hdgan.generator.weights import FILE, save_generator
from hdgan.store.atomic import scratch
from hdgan.store.hashing import hash_file
from hdgan.store.layout import RunFolder
from hdgan.store.stage import MANIFEST, Manifest, begun_with, open_stage
from hdgan.training import checkpoint

_MODULE = "hdgan.generator.foreign.child"
_SOURCES = Path(__file__).parents[3]
"""Where the child finds this package."""
_MAX_FILE = 8 * 2**30
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
"""A thread's stack counts as memory."""
_NETWORKS = ("G_average", "G", "D")


def import_file(source: Path, out: Path, *, mpp: float | None = None) -> Weights:
    """Writes the averaged generator of the foreign file `source` as `out`; what was read.

    Raises:
        BadInput: `out` exists.
        BadWeights: the file is refused; the message says why.
    """
    if out.exists():
        raise BadInput(out, "exists already", "choose a new file")
    weights = read_apart(source, near=out, only_generator=True)
    _write_generator(out, weights, mpp=mpp, origin=_origin(source, weights))
    return weights


def import_stage(
    source: Path, root: Path, *, seed: int = 0, mpp: float | None = None, only_generator: bool = False
) -> tuple[Weights, Manifest]:
    """Makes the networks of the foreign file `source` the generator stage of the run in `root`; what was read, and the manifest.

    Where the file holds both trained networks, they are kept as a state before the first step, for trainings to begin with.
    The manifest records no settings and no tiles, so that none make the stage stale.

    Raises:
        BadInput: the run has a generator.
        BadWeights: the file is refused; the message says why.
    """
    if root.exists() and not root.is_dir():
        raise BadInput(root, "is a file", "name the folder of a run, or a new file that ends in .safetensors")
    folder = RunFolder(root).folder("generator")
    before = begun_with(folder)
    if before is not None and ((folder / MANIFEST).exists() or before["config"]):
        raise BadInput(folder, "holds a generator already", "choose another run")
    weights = read_apart(source, near=folder, only_generator=only_generator)
    origin = _origin(source, weights)
    with open_stage(folder, stage="generator", config={}, seed=seed, inputs={}) as stage:
        _write_generator(folder / FILE, weights, mpp=mpp, origin=origin)
        if "D" in weights.networks:
            tensors = {f"{network}.{name}": torch.from_numpy(array) for network, name, array in _each(weights)}
            facts = {"spec": weights.spec.to_json(), "num_images": 0, "imported": origin}
            checkpoint.save(folder / STATE, step=0, tensors=tensors, facts=facts)
        num = sum(array.size for array in weights.networks["G_average"].values())
        manifest = stage.seal(counts={"networks": len(weights.networks), "numbers": num, "source_sha256": origin["sha256"]})
    return weights, manifest


def read_apart(source: Path, *, near: Path, only_generator: bool = False) -> Weights:
    """What the foreign file `source` holds, read in a child process that leaves its result in a temporary folder `near`.

    Raises:
        BadInput: there is no such file.
        BadWeights: the file is refused, or its reader ran out of memory or time.
    """
    if not source.is_file():
        raise BadInput(source, "is no file", "name a .pkl of stylegan2-ada-pytorch or stylegan3, or a .pt of rosinality")
    num_bytes = source.stat().st_size
    if num_bytes > _MAX_FILE:
        raise BadWeights(source, f"has {num_bytes} bytes", "checkpoints of StyleGAN2 have less than 8 GiB")
    with scratch(near) as folder:
        result = folder / "read.safetensors"
        _run_child(source, result, only_generator=only_generator, seconds=child.seconds_for(num_bytes))
        try:
            return _checked(result)
        except (SafetensorError, OSError, KeyError, ValueError, TypeError, BadConfig, Refused) as error:
            raise BadWeights(source, f"was read into something else than networks ({error})") from error


def _run_child(source: Path, result: Path, *, only_generator: bool, seconds: int) -> None:
    """Has the file read; -P, because a folder of downloads may hold a module that calls itself numpy.

    Raises:
        BadWeights: it was refused.
    """
    command = [sys.executable, "-P", "-m", _MODULE, str(source.absolute()), str(result.absolute())]
    paths = [str(_SOURCES), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | _ONE_THREAD | {"PYTHONPATH": os.pathsep.join(paths)}
    try:
        done = subprocess.run(
            command + ["--generator-only"] * only_generator,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=2 * seconds,
            env=environment,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise BadWeights(source, f"could not be read within {2 * seconds} seconds") from error
    if done.returncode == 0:
        return
    lines = done.stderr.decode(errors="replace").strip().splitlines() or [""]
    if done.returncode == child.REFUSED:
        raise BadWeights(source, _shown_line(lines[-1]), "whole files of the published StyleGAN2 layouts are read, and no others")
    raise BadWeights(source, f"made its reader end with code {done.returncode} ({shown(lines[-1])})")


def _shown_line(text: str) -> str:
    """A line of the reader as it may be printed."""
    return ascii(text)[1:-1][:1000]


def _checked(result: Path) -> Weights:
    """The child's result, compared once more."""
    networks: dict[str, dict[str, np.ndarray]] = {}
    with safe_open(result, framework="np") as file:
        about = json.loads(file.metadata()["hdgan"])
        for key in file.keys():  # noqa: SIM118 - not a mapping
            network, _, name = key.partition(".")
            array = np.asarray(file.get_tensor(key))
            if network not in _NETWORKS or array.dtype != np.float32:
                raise ValueError(f"{key} of type {array.dtype}")
            check_values(name, array)
            networks.setdefault(network, {})[name] = array
    spec = NetworkSpec.from_json(about["spec"])
    for network, arrays in networks.items():
        found = {name: array.shape for name, array in arrays.items()}
        (check_discriminator if network == "D" else check_generator)(found, spec)
    if "G_average" not in networks:
        raise ValueError("there is no generator")
    facts = {"layout": str(about["facts"]["layout"]), "notes": [str(note) for note in about["facts"]["notes"]]}
    return Weights(spec, networks, facts)


def _each(weights: Weights) -> list[tuple[str, str, np.ndarray]]:
    return [(network, name, array) for network, arrays in weights.networks.items() for name, array in arrays.items()]


def _origin(source: Path, weights: Weights) -> dict[str, Any]:
    """Where the weights come from, as it is kept with them."""
    return {"file": source.name, "sha256": hash_file(source), **weights.facts}


def _write_generator(path: Path, weights: Weights, *, mpp: float | None, origin: dict[str, Any]) -> None:
    network = Generator(weights.spec)
    network.load_state_dict({name: torch.from_numpy(array) for name, array in weights.networks["G_average"].items()})
    save_generator(path, network, mpp=mpp, trained={"imported": origin})
