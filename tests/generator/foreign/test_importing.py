from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from hdgan.errors import BadInput, BadWeights
from hdgan.generator.foreign import importing
from hdgan.generator.foreign.importing import import_file, import_stage, read_apart
from hdgan.generator.weights import FILE, TrainedGenerator, load_generator
from hdgan.store.hashing import hash_file
from hdgan.store.stage import read_manifest, verify
from hdgan.training import checkpoint
from tests.generator.conftest import TINY
from tests.generator.foreign import hostile, hostile_archives, hostile_networks
from tests.generator.foreign.writers import SPEC, networks, official, rosinality


@pytest.fixture
def source(tmp_path) -> Path:
    path = tmp_path / "network-snapshot.pkl"
    path.write_bytes(official(*networks()))
    return path


def run(code: str, **more: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False, **more)  # type: ignore[call-overload, no-any-return]


def assert_draws_like(path: Path, spec=SPEC) -> TrainedGenerator:
    """The imported generator's images are those of the network that the file was written from."""
    G, _ = networks(spec)
    expected, found = TrainedGenerator(G, mpp=None), load_generator(path)
    z = torch.randn(2, spec.z_dim, generator=torch.Generator().manual_seed(1))
    for psi in (1.0, 0.5):
        assert torch.equal(found.render(found.map(z, psi=psi)), expected.render(expected.map(z, psi=psi)))
    assert found.content_hash == expected.content_hash
    return found


def test_an_imported_file_draws_what_the_network_drew(source, tmp_path):
    out = tmp_path / "here" / "generator.safetensors"
    import_file(source, out, mpp=0.5)
    found = assert_draws_like(out)
    assert found.mpp == 0.5
    origin = {"file": "network-snapshot.pkl", "sha256": hash_file(source), "layout": "stylegan2-ada-pytorch", "notes": []}
    assert found.facts == {"imported": origin}
    assert [path.name for path in out.parent.iterdir()] == ["generator.safetensors"]


def test_a_rosinality_file_draws_what_the_network_drew(tmp_path):
    (tmp_path / "550000.pt").write_bytes(rosinality(*networks()))
    import_file(tmp_path / "550000.pt", tmp_path / "out.safetensors")
    assert_draws_like(tmp_path / "out.safetensors")


def test_a_network_with_labels_draws_what_it_drew(tmp_path):
    spec = replace(SPEC, label_dim=3)
    (tmp_path / "x.pkl").write_bytes(official(*networks(spec)))
    import_file(tmp_path / "x.pkl", tmp_path / "out.safetensors")
    assert assert_draws_like(tmp_path / "out.safetensors", spec).conditions.names == ("0", "1", "2")


def test_half_precision_and_limits_stay_in_the_spec_and_images_are_drawn_without(tmp_path):
    spec = replace(SPEC, low_precision="float16", num_low_precision=2, clamp=256.0)
    (tmp_path / "x.pkl").write_bytes(official(networks(spec)[0]))
    weights = import_file(tmp_path / "x.pkl", tmp_path / "out.safetensors")
    assert weights.spec == spec
    assert load_generator(tmp_path / "out.safetensors").resolution == 16


def test_an_imported_stage_is_finished_and_holds_all_three_networks(source, tmp_path):
    root = tmp_path / "run"
    weights, manifest = import_stage(source, root, seed=3, mpp=2.0)
    folder = root / "2-generator"
    assert_draws_like(folder / FILE)
    assert read_manifest(folder) == manifest
    assert verify(folder) == []
    assert (manifest.config, manifest.inputs, manifest.seed) == ({}, {}, 3)
    assert manifest.counts["source_sha256"] == hash_file(source)
    assert manifest.outputs.keys() == {FILE, "state/state-000000000.safetensors"}
    state = checkpoint.newest(folder / "state")
    tensors, facts = dict(state.tensors), state.facts
    assert (facts["spec"], facts["num_images"]) == (weights.spec.to_json(), 0)
    G, D = networks()
    for prefix, network in (("G", G), ("D", D), ("G_average", G)):
        for name, value in network.state_dict().items():
            assert torch.equal(tensors.pop(f"{prefix}.{name}"), value)
    assert not tensors


def test_a_training_can_begin_with_all_that_was_imported(source, tmp_path):
    from hdgan.generator import transfer

    import_stage(source, tmp_path / "run")
    found = transfer.read(transfer.find(tmp_path / "run" / "2-generator"))
    G, D = networks()
    assert (found.kind, found.spec) == ("state", SPEC)
    for given, network in ((found.G, G), (found.G_average, G), (found.D, D)):
        assert given.keys() == network.state_dict().keys()
        assert all(torch.equal(given[name], value) for name, value in network.state_dict().items())


@pytest.mark.parametrize("redo", [False, True])
def test_a_training_does_not_replace_imported_weights(source, tiles, tmp_path, redo):
    from hdgan.generator.config import GeneratorConfig
    from hdgan.generator.stage import run_generator

    folder = tmp_path / "run" / "2-generator"
    import_stage(source, tmp_path / "run")
    with pytest.raises(BadInput, match=r"holds imported weights.*train in another run, with generator\.init_from naming this folder"):
        run_generator(GeneratorConfig(**TINY, kimg=0.01), tiles=tiles, out=folder, seed=0, redo=redo)
    assert verify(folder) == []


def test_samples_are_drawn_from_an_imported_stage(source, tmp_path):
    from hdgan.samples.config import SamplesConfig
    from hdgan.samples.stage import run_samples

    import_stage(source, tmp_path / "run")
    manifest = run_samples(
        SamplesConfig(num=2, shortlist=1), generator=tmp_path / "run" / "2-generator", out=tmp_path / "run" / "3-samples", seed=0
    )
    assert manifest.counts["samples"] == 2


def test_a_generator_that_is_there_is_not_written_over(source, tmp_path):
    (tmp_path / "mine.safetensors").write_bytes(b"mine")
    with pytest.raises(BadInput, match="exists already"):
        import_file(source, tmp_path / "mine.safetensors")
    assert (tmp_path / "mine.safetensors").read_bytes() == b"mine"
    import_stage(source, tmp_path / "run")
    before = (tmp_path / "run" / "2-generator" / FILE).stat().st_mtime_ns
    with pytest.raises(BadInput, match="holds a generator already; choose another run"):
        import_stage(source, tmp_path / "run")
    assert (tmp_path / "run" / "2-generator" / FILE).stat().st_mtime_ns == before


def test_a_generator_in_training_is_not_written_over(source, tmp_path):
    from hdgan.store.stage import open_stage

    with open_stage(tmp_path / "run" / "2-generator", stage="generator", config={"kimg": 5}, seed=0, inputs={}):
        pass
    with pytest.raises(BadInput, match="holds a generator already"):
        import_stage(source, tmp_path / "run")


CHOSEN = {
    name: (hostile.CASES | hostile_archives.CASES | hostile_networks.CASES)[name]
    for name in ("calls 'os'.system", "ten million opcodes", "empty", "zip: a bomb of zeros", "network: a weight that is not a number")
}


@pytest.mark.parametrize("name", CHOSEN)
def test_a_hostile_file_is_refused_in_one_line_within_two_seconds_and_leaves_nothing(name, tmp_path):
    make, reason = CHOSEN[name]
    (tmp_path / "in").mkdir()
    path = tmp_path / "in" / "evil.pkl"
    path.write_bytes(make())
    before = os.times()
    with pytest.raises(BadWeights, match="is empty" if name == "empty" else reason) as caught:
        import_stage(path, tmp_path / "run")
    # Processor time, the child's included: other work on the machine does not count.
    assert sum(now - then for now, then in zip(os.times()[:4], before[:4], strict=True)) < 2.0
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)
    assert [entry.name for entry in tmp_path.iterdir()] == ["in"]
    assert [entry.name for entry in (tmp_path / "in").iterdir()] == ["evil.pkl"]


def test_a_module_in_the_folder_of_the_download_is_not_imported(source, tmp_path, monkeypatch):
    for name in ("numpy", "json", "mmap", "hdgan"):
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'imported')!r}, 'w')\nraise SystemExit(9)\n")
    monkeypatch.chdir(tmp_path)
    import_file(Path("network-snapshot.pkl"), Path("out.safetensors"))
    assert not (tmp_path / "imported").exists()


def test_a_missing_file_is_one_line(tmp_path):
    with pytest.raises(BadInput, match="is no file"):
        import_file(tmp_path / "none.pkl", tmp_path / "out.safetensors")


def test_a_reader_that_fails_or_hangs_is_reported(source, tmp_path, monkeypatch):
    monkeypatch.setattr(importing, "_MODULE", "hdgan.generator.foreign.no_such_module")
    with pytest.raises(BadWeights, match="made its reader end with code 1"):
        read_apart(source, near=tmp_path)
    (tmp_path / "waits.py").write_text("import time\ntime.sleep(60)\n")
    monkeypatch.setattr(importing, "_SOURCES", tmp_path)
    monkeypatch.setattr(importing, "_MODULE", "waits")
    monkeypatch.setattr(importing.child, "seconds_for", lambda _: 0.25)
    with pytest.raises(BadWeights, match=r"could not be read within 0\.5 seconds"):
        read_apart(source, near=tmp_path)


@pytest.mark.parametrize("change", ["nan", "missing", "shape", "dtype", "network", "spec", "no facts", "no generator"])
def test_what_the_reader_hands_over_is_checked_again(change, source, tmp_path, monkeypatch):
    def hand_over(_source, result, **_named):
        G, _ = networks()
        arrays = {f"G_average.{name}": value.numpy().copy() for name, value in G.state_dict().items()}
        about = {"spec": SPEC.to_json(), "facts": {"layout": "x", "notes": []}}
        bias = "G_average.mapping.fc0.bias"
        match change:
            case "nan":
                arrays[bias][0] = np.nan
            case "missing":
                del arrays[bias]
            case "shape":
                arrays[bias] = np.ones(9, np.float32)
            case "dtype":
                arrays[bias] = arrays[bias].astype(np.float64)
            case "network":
                arrays["E.x"] = arrays[bias]
            case "spec":
                about["spec"]["resolution"] = 17
            case "no facts":
                del about["facts"]
            case _:
                arrays = {name.replace("G_average", "G"): array for name, array in arrays.items()}
        save_file(arrays, result, metadata={"hdgan": json.dumps(about)})

    monkeypatch.setattr(importing, "_run_child", hand_over)
    with pytest.raises(BadWeights, match="was read into something else than networks"):
        read_apart(source, near=tmp_path)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not limit memory so")
def test_the_reader_gets_no_more_memory_than_it_is_allowed():
    code = "import numpy\nfrom hdgan.generator.foreign.child import confine\nconfine(memory=2**30, seconds=60)\n"
    assert "MemoryError" in run(code + "numpy.ones(2**30)").stderr
    assert run(code + "numpy.ones(2**20)").returncode == 0


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not limit processor time so")
def test_the_reader_gets_no_more_processor_time_than_it_is_allowed():
    done = run("from hdgan.generator.foreign.child import confine\nconfine(memory=2**32, seconds=1)\nwhile True: pass")
    assert done.returncode < 0


def test_the_reader_needs_no_torch():
    code = "import sys, hdgan.generator.foreign.child\nassert 'torch' not in sys.modules\nassert 'hdgan.generator.foreign.rosinality' in sys.modules"
    done = run(code)
    assert done.returncode == 0, done.stderr
