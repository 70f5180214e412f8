"""Which code cut a slide is recorded and said; nothing is cut again for it unless that is asked."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest
from pydantic import ValidationError

from hdgan.store.atomic import read_json, write_json
from hdgan.tiles import code, parts, work
from hdgan.tiles.code import PACKAGES, UNKNOWN, code_hash, hash_sources, is_of_other_code
from hdgan.tiles.config import TilesConfig
from hdgan.tiles.shards import Shard, cut_shard
from hdgan.tiles.stage import run_tiles
from tests.slides.painting import paint, write_slide
from tests.tiles import faults

from .test_pool import Listening
from .test_stage import outputs

OTHER = "0123456789abcdef"


def cut(config, cohort, out, **more):
    ear = Listening()
    manifest = run_tiles(config, out=out, seed=0, base=cohort, progress=ear, **more)
    return manifest, [line for line in ear.lines if "other code" in line]


def share(config, cohort, out):
    ear = Listening()
    done = cut_shard(config, Shard(1, 1), out=out, seed=0, base=cohort, progress=ear)
    return done, [line for line in ear.lines if "other code" in line]


def age(out: Path, *names: str) -> None:
    """Makes the parts of these slides those of another code."""
    for name in names:
        path = parts.part_folder(out, name) / parts.STATUS
        write_json(path, read_json(path) | {"code": OTHER})


def codes(out: Path) -> dict[str, str]:
    return {name: told["code"] for name, told in read_json(out / "provenance.json")["readers"].items()}


@pytest.fixture
def cuts(monkeypatch):
    """Names of the slides that are opened to be cut."""
    plain, opened = work.open_slide, []
    monkeypatch.setattr(work, "open_slide", lambda path, **said: opened.append(path.stem) or plain(path, **said))
    return opened


@pytest.fixture
def recutting(config):
    return config.model_copy(update={"recut_changed_code": True})


def test_the_hash_follows_names_and_texts_and_not_the_ends_of_lines(tmp_path):
    root = tmp_path / "one"
    for name in ("tiles/a.py", "slides/regions/b.py", "samples/c.py", "tiles/d.txt"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x = 1\ny = 2\n")
    first = hash_sources(root, ("slides", "tiles"))
    (root / "samples" / "c.py").write_bytes(b"other")
    (root / "tiles" / "d.txt").write_bytes(b"other")
    (root / "tiles" / "a.py").write_bytes(b"x = 1\r\ny = 2\r\n")
    assert hash_sources(root, ("slides", "tiles")) == first
    (root / "slides" / "regions" / "b.py").write_bytes(b"x = 1\ny = 2\n# why\n")
    changed = hash_sources(root, ("slides", "tiles"))
    (root / "slides" / "regions" / "b.py").rename(root / "slides" / "b.py")
    assert len({first, changed, hash_sources(root, ("slides", "tiles"))}) == 3
    assert hash_sources(tmp_path / "nothing", PACKAGES) == UNKNOWN


def test_the_hash_is_of_this_code_and_takes_less_than_20_ms():
    root = Path(code.__file__).parents[1]
    assert all((root / name).is_dir() for name in PACKAGES)
    spent = []
    for _ in range(5):
        since = time.process_time()
        assert hash_sources(root, PACKAGES) == code_hash() != UNKNOWN
        spent.append(time.process_time() - since)
    assert min(spent) < 0.02


@pytest.mark.parametrize("workers", [0, 1])
def test_status_and_provenance_say_what_code_cut_a_slide_and_the_manifest_does_not(tmp_path, cohort, config, workers):
    config, out = config.model_copy(update={"workers": workers}), tmp_path / "out"
    share(config, cohort, out)
    assert {parts.read_status(part).code for part in (out / parts.PARTS).iterdir() if part.is_dir()} == {code_hash()}
    assert cut(config, cohort, out)[1] == []
    assert codes(out) == dict.fromkeys(("a1", "a2", "b1"), code_hash())
    assert code_hash() not in (out / "manifest.json").read_text()


def test_parts_of_other_code_are_kept_and_said_and_the_manifest_is_the_same(tmp_path, cohort, config, cuts):
    first, _ = cut(config, cohort, tmp_path / "whole")
    out = tmp_path / "out"
    share(config, cohort, out)
    age(out, "a1", "b1")
    cuts.clear()
    told = [f"2 slides cut by other code: {OTHER[:12]}, kept (this is {code_hash()[:12]}; --recut-changed-code cuts anew)"]
    assert share(config, cohort, out)[1] == told
    manifest, said = cut(config, cohort, out)
    assert (said, cuts, manifest) == (told, [], first)
    assert codes(out) == {"a1": OTHER, "a2": code_hash(), "b1": OTHER}
    assert outputs(out) == outputs(tmp_path / "whole")


def test_a_part_of_before_codes_were_recorded_is_kept_as_unknown(tmp_path, cohort, config, cuts):
    out = tmp_path / "out"
    share(config, cohort, out)
    path = parts.part_folder(out, "a2") / parts.STATUS
    write_json(path, {name: value for name, value in read_json(path).items() if name != "code"})
    cuts.clear()
    assert cut(config, cohort, out)[1][0].startswith("1 slide cut by other code: unknown, kept")
    assert cuts == []


def test_asked_for_parts_of_other_code_are_cut_again_and_no_others(tmp_path, cohort, config, recutting, cuts):
    out = tmp_path / "out"
    share(config, cohort, out)
    age(out, "a2")
    cuts.clear()
    assert share(recutting, cohort, out)[1] == []
    assert cuts == ["a2"]
    manifest, said = cut(recutting, cohort, out)
    assert (cuts, said) == (["a2"], [])
    assert manifest == cut(config, cohort, tmp_path / "whole")[0], "who asks so is not recorded"


def test_asked_for_a_finished_stage_of_other_code_is_cut_again_once(tmp_path, cohort, config, recutting, cuts, monkeypatch):
    out = tmp_path / "out"
    first, _ = cut(config, cohort, out)
    before = (out / "manifest.json").stat().st_mtime_ns
    assert not is_of_other_code(out)
    cut(recutting, cohort, out)
    assert (out / "manifest.json").stat().st_mtime_ns == before
    provenance = read_json(out / "provenance.json")
    provenance["readers"]["b1"]["code"] = OTHER
    write_json(out / "provenance.json", provenance)
    assert is_of_other_code(out)
    assert share(config, cohort, out)[0].was_finished
    cuts.clear()
    cut(config, cohort, out)
    assert cuts == [], "nobody asked"
    assert not share(recutting, cohort, out)[0].was_finished
    assert sorted(cuts) == ["a1", "a2", "b1"]
    assert cut(recutting, cohort, out)[0] == first
    assert sorted(cuts) == ["a1", "a2", "b1"], "the share had cut them"
    assert codes(out) == dict.fromkeys(("a1", "a2", "b1"), code_hash())
    (out / "provenance.json").unlink()
    assert is_of_other_code(out)


def test_a_slide_that_was_mended_leaves_the_others_the_code_that_cut_them(tmp_path, cohort, config):
    config, out = config.model_copy(update={"slides": ("slides.csv", "c.tif"), "broken_slides": "skip"}), tmp_path / "out"
    (cohort / "c.tif").write_bytes(b"no slide")
    cut(config, cohort, out)
    provenance = read_json(out / "provenance.json")
    provenance["readers"]["a1"]["code"] = OTHER
    write_json(out / "provenance.json", provenance)
    write_slide(cohort / "c.tif", paint(seed=5))
    assert cut(config, cohort, out)[1][0].startswith("1 slide cut by other code: 0123456789ab")
    assert codes(out) == {"a1": OTHER} | dict.fromkeys(("a2", "b1", "c"), code_hash())


def test_a_worker_of_other_code_is_told(tmp_path, cohort, config, monkeypatch):
    monkeypatch.setattr(work, "cut_part", faults.cut_by_other_code)
    _, said = cut(config, cohort, tmp_path / "out")
    assert said == [f"3 slides cut by other code: feed, kept (this is {code_hash()[:12]}; --recut-changed-code cuts anew)"]


def test_other_settings_are_refused_however_old_the_code_is(tmp_path, cohort, config, recutting):
    out = tmp_path / "out"
    cut(config, cohort, out)
    shutil.copytree(out, tmp_path / "before")
    (out / "provenance.json").unlink()
    with pytest.raises(Exception, match="add --redo"):
        cut(recutting.model_copy(update={"max_background": 0.2}), cohort, out)
    assert outputs(out) == outputs(tmp_path / "before")


def test_images_that_are_cut_already_know_no_code():
    with pytest.raises(ValidationError, match="recut_changed_code is for slides"):
        TilesConfig(slides=("a",), mpp=1.0, tile_px=64, images={}, recut_changed_code=True)
