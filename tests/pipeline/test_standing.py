from __future__ import annotations

from hdgan.pipeline.standing import standings
from hdgan.store.layout import RunFolder
from hdgan.store.stage import manifest_hash, open_stage

CONFIGS = {"tiles": {"mpp": 2.0, "part": {"a": 1}}, "generator": {"kimg": 1.0}, "samples": {"num": 3}}
READS = {"tiles": (), "generator": ("tiles",), "samples": ("generator",)}


def made(root, *, seal=("tiles", "generator", "samples")) -> RunFolder:
    folder = RunFolder(root)
    for stage, config in CONFIGS.items():
        inputs = {name: manifest_hash(folder.folder(name)) for name in READS[stage]}
        with open_stage(folder.folder(stage), stage=stage, config=config, seed=1, inputs=inputs) as opened:
            (opened.path / "out.txt").write_text(stage)
            if stage in seal:
                opened.seal(counts={})
            else:
                break
    return folder


def states(folder, *, configs=CONFIGS, seed=1):
    return {found.stage: (found.state, found.fields) for found in standings(folder, configs=configs, seed=seed)}


def test_what_was_made_from_the_same_is_current(tmp_path):
    assert states(made(tmp_path)) == dict.fromkeys(CONFIGS, ("current", ()))


def test_what_was_not_begun_is_absent_and_what_was_is_unfinished(tmp_path):
    found = states(made(tmp_path, seal=("tiles",)))
    assert [state for state, _ in found.values()] == ["current", "unfinished", "absent"]


def test_a_changed_setting_makes_its_stage_and_all_after_it_stale(tmp_path):
    configs = CONFIGS | {"tiles": {"mpp": 2.0, "part": {"a": 2}}}
    assert states(made(tmp_path), configs=configs) == {
        "tiles": ("stale", ("config.part.a",)),
        "generator": ("stale", ("inputs.tiles",)),
        "samples": ("stale", ("inputs.generator",)),
    }


def test_another_seed_makes_everything_stale(tmp_path):
    assert all(state == "stale" and "seed" in fields for state, fields in states(made(tmp_path), seed=2).values())


def test_a_setting_that_the_record_lacks_makes_its_stage_stale(tmp_path):
    configs = CONFIGS | {"generator": {"kimg": 1.0, "condition": "stain"}}
    assert states(made(tmp_path), configs=configs)["generator"] == ("stale", ("config.condition",))


def test_what_was_made_from_no_settings_is_current_whatever_they_are(tmp_path):
    folder = RunFolder(tmp_path)
    with open_stage(folder.folder("tiles"), stage="tiles", config={}, seed=1, inputs={}) as opened:
        opened.seal(counts={})
    assert states(folder, configs={"tiles": CONFIGS["tiles"]}) == {"tiles": ("current", ())}


def test_a_stage_that_was_made_again_leaves_the_next_one_stale(tmp_path):
    folder = made(tmp_path)
    path = folder.folder("tiles")
    with open_stage(path, stage="tiles", config={"mpp": 3.0}, seed=1, inputs={}, redo=True) as opened:
        opened.seal(counts={})
    found = states(folder, configs=CONFIGS | {"tiles": {"mpp": 3.0}})
    assert found["tiles"][0] == "current"
    assert found["generator"] == ("stale", ("inputs.tiles",))


def test_outputs_stored_anew_with_the_same_content_leave_the_next_stage_current_and_others_do_not(tmp_path):
    folder = made(tmp_path)
    path = folder.folder("tiles")
    for text, is_same, expected in (("denser", True, "current"), ("lossy", False, "stale"), ("denser", True, "current")):
        with open_stage(path, stage="tiles", config=CONFIGS["tiles"], seed=1, inputs={}) as opened:
            (path / "out.txt").write_text(text)
            opened.reseal(counts=opened.manifest.counts, is_same=is_same)
        assert states(folder)["tiles"][0] == "current"
        assert states(folder)["generator"][0] == expected


def test_looking_writes_nothing(tmp_path):
    folder = made(tmp_path, seal=("tiles",))
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    states(folder)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_what_else_is_known_to_have_changed_makes_its_stage_and_all_after_it_stale(tmp_path):
    folder = made(tmp_path)
    found = standings(folder, configs=CONFIGS, seed=1, also={"generator": ("inputs.something",)})
    assert {standing.stage: standing.fields for standing in found} == {
        "tiles": (),
        "generator": ("inputs.something",),
        "samples": ("inputs.generator",),
    }
