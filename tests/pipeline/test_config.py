from __future__ import annotations

import os
from pathlib import Path

import pytest

from hdgan import pipeline
from hdgan.errors import BadConfig
from hdgan.pipeline.config import RunConfig
from hdgan.pipeline.settings_file import parse_settings, read_settings

RECIPES = Path(__file__).parents[2] / "recipes"
LEAST = {"run": {"name": "x"}, "tiles": {"slides": ["s.tif"], "mpp": 2.0, "tile_px": 64}}
CUT = {"mpp": 2.0, "sets": {"test": {"rows": [[0, 100]]}, "oracle": {"rows": [[100, 200]]}}}


def parsed(**sections) -> RunConfig:
    return parse_settings({**LEAST, **sections}, RunConfig, where="settings.toml")


def refused(**sections) -> str:
    with pytest.raises(BadConfig) as caught:
        parsed(**sections)
    return str(caught.value)


def test_name_and_tiles_are_all_that_a_run_needs():
    config = parsed()
    assert config.oracle is None
    assert config.downstream is None
    assert config.annotations.sizes == {"train": 16, "validate": 4, "test": 16}


SHIPPED = Path(pipeline.__file__).parents[1] / "shipped"


@pytest.mark.parametrize("recipe", [*sorted(RECIPES.glob("*.toml")), *SHIPPED.glob("*.toml")], ids=lambda path: path.stem)
def test_every_recipe_is_valid(recipe):
    config = read_settings(recipe, RunConfig, environment={}, lenient=True)
    assert config.run.name == {"own_slides": "mine"}.get(recipe.stem, recipe.stem)  # that one is copied to mine.toml
    assert config.generator.network_spec().resolution <= config.tiles.tile_px
    assert config.generator.train_settings(seed=0).batch >= 1


def test_the_paper_recipe_has_what_the_paper_states():
    config = read_settings(RECIPES / "tma_4096.toml", RunConfig, environment={}, lenient=True)
    assert (config.tiles.tile_px, config.generator.resolution, config.tiles.num_folds) == (4096, 4096, 5)
    assert config.generator.held_out_fold is not None
    assert (config.samples.num, config.samples.psi, config.features.num_blocks) == (500, 0.7, 5)
    assert tuple(config.annotations.sizes.values()) == (16, 4, 16)
    spec = config.generator.network_spec()
    assert sum(2 * spec.channels(edge) for edge in spec.block_resolutions[-5:]) == 496
    assert (config.classifier.optimiser, config.classifier.lr, config.classifier.members) == ("sgd", 1e-4, 1)


def test_recipes_need_no_path_of_one_machine():
    for recipe in (path for path in RECIPES.rglob("*") if path.is_file()):
        assert not any(line.startswith(("/", "~")) or '"/' in line for line in recipe.read_text().splitlines()), recipe


def test_the_recipe_for_own_slides_takes_the_masks_that_the_pages_say_to_import():
    config = read_settings(RECIPES / "own_slides.toml", RunConfig, environment={})
    assert config.oracle is None
    assert config.annotations.masks is None
    assert config.downstream is None  # it would need real pairs
    assert sum(config.annotations.sizes.values()) == config.samples.shortlist
    for page in ("README.md", "docs/how-to/own-slides.md"):
        text = (RECIPES.parent / page).read_text()
        assert "recipes/own_slides.toml" in text
        assert f"hdgan import-masks runs/{config.run.name} " in text


def test_tiles_smaller_than_the_generator_are_refused():
    assert "tiles.tile_px: 32 is smaller than generator.resolution, 64" in refused(tiles={**LEAST["tiles"], "tile_px": 32})


def test_an_oracle_without_pairs_to_learn_from_is_refused():
    assert "[oracle] needs labelled pairs; add a section [real]" in refused(oracle={})


def test_masks_and_an_oracle_at_once_are_refused(tmp_path):
    assert "both given" in refused(oracle={}, real={"pairs": "p"}, annotations={"masks": str(tmp_path)})


def test_real_pairs_of_another_scale_than_the_tiles_are_refused():
    real = {"slide": "s.tif", "regions": {"glomerulus": "g.png"}, "cut": CUT | {"mpp": 1.0}}
    assert "real.cut.mpp: 1 is not the scale of the tiles, 2" in refused(real=real)


@pytest.mark.parametrize("real", [{}, {"pairs": "p", "slide": "s"}, {"slide": "s"}, {"slide": "s", "regions": {"a": "b"}}])
def test_real_pairs_need_exactly_one_source(real):
    assert "real: " in refused(real=real)


def test_blocks_of_oracle_and_test_that_overlap_are_refused():
    sets = {"test": {"rows": [[0, 150]]}, "oracle": {"rows": [[100, 200]]}}
    assert "blocks must not overlap" in refused(real={"slide": "s", "regions": {"a": "b"}, "cut": {"mpp": 2.0, "sets": sets}})


def test_an_oracle_signs_the_masks_it_draws():
    config = parsed(oracle={"name": "U-Net, no expert"}, real={"pairs": "p"})
    assert config.drawn_annotations.annotator == "U-Net, no expert"
    assert config.recorded("annotations")["annotator"] == "U-Net, no expert"


def test_an_alias_is_what_the_message_shows():
    assert "did you mean 'validate'?" in refused(annotations={"validte": 3})


@pytest.mark.skipif("HDGAN_DATA" not in os.environ, reason="HDGAN_DATA is not set")
@pytest.mark.parametrize("recipe", ["kidney_pas", "kidney_glomeruli"])
def test_no_block_of_the_kidney_recipes_serves_two_masters(recipe):
    config = read_settings(RECIPES / f"{recipe}.toml", RunConfig)
    assert config.real is not None
    assert config.real.cut is not None
    assert config.oracle is not None
    assert config.downstream is not None
    assert config.oracle.train_set != config.downstream.test_set
    first = min(start for start, _ in config.real.cut.sets[config.downstream.test_set].rows)
    areas = [line.split(",") for line in (RECIPES / "kidney_areas.csv").read_text().splitlines()[1:]]
    assert max(int(y) + int(size) for _, _, y, size in areas) <= first


def test_what_a_stage_records_has_no_setting_that_changes_no_result_or_that_was_left_out():
    recorded = parsed().recorded("generator")
    assert not {"device", "save_minutes", "init_from", "condition", "freeze_d", "flips"} & recorded.keys()
    assert parsed(generator={"condition": "stain"}).recorded("generator") == recorded | {"condition": "stain"}
    for stage in ("samples", "dataset"):
        assert parsed(**{stage: {"condition": "PAS"}}).recorded(stage) == parsed().recorded(stage) | {"condition": "PAS"}


@pytest.mark.parametrize("generator", [{"flips": "x"}, {"is_quarter_turned": True}, {"freeze_d": 3}])
def test_generator_settings_that_would_do_nothing_are_refused(generator):
    assert "need" in refused(generator=generator)


def test_an_oracle_needs_as_many_samples_drawn_at_random_as_are_to_be_tested():
    oracle = {"oracle": {}, "real": {"pairs": "pairs"}, "annotations": {"random_test": 16}}
    assert "samples.random: 8 images are fewer than annotations.random_test, 16" in refused(**oracle, samples={"random": 8})
    assert parsed(**oracle, samples={"random": 16}).annotations.num_images == 52


def test_annotations_without_corrections_and_random_images_are_recorded_as_before_there_were_any():
    left_out = {"masks", "class_map", "class_mapping", "corrections", "corrector", "random_test"}
    fields = {field.alias or name for name, field in type(parsed().annotations).model_fields.items()}
    assert parsed().recorded("annotations").keys() == fields - left_out
    recorded = parsed(annotations={"corrections": "c", "corrector": "B. Eye", "random_test": 2}).recorded("annotations")
    assert recorded.keys() == fields - left_out | {"corrector", "random_test"}


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"resolution": 48}, "generator.resolution: 48; use a power of two"),
        ({"batch": 8, "microbatch": 3}, "generator.microbatch: 3 does not divide the batch of 8"),
        ({"augment": "bcg"}, "generator.augment: 'bcg'; use one of none, blit"),
        ({"channel_base": 32}, "generator.channel_base: 32 gives no channel at 64 px"),
    ],
)
def test_what_no_generator_can_be_trained_by_is_told_before_tiles_are_cut_for_it(fields, told):
    assert f"settings.toml: {told}" in refused(generator=fields)
