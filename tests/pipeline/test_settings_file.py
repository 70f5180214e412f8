from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import BaseModel, ConfigDict, Field, model_validator

from hdgan.errors import BadConfig
from hdgan.pipeline.config import RunConfig
from hdgan.pipeline.settings_file import read_settings

FROZEN = ConfigDict(frozen=True, extra="forbid")


class Inner(BaseModel):
    model_config = FROZEN

    mpp: float = Field(default=1.0, gt=0)
    """Scale, um/px."""
    folder: str = "here"
    sizes: tuple[int, ...] = ()

    @model_validator(mode="after")
    def _fits(self) -> Inner:
        if len(self.sizes) > 2:
            raise ValueError("sizes: at most two")
        return self


class Outer(BaseModel):
    model_config = FROZEN

    inner: Inner = Inner()
    other: Inner | None = None
    seed: int


def written(folder: Path, text: str) -> Path:
    path = folder / "settings.toml"
    path.write_text(text, encoding="utf-8")
    return path


def refused(folder: Path, text: str, **named: object) -> str:
    with pytest.raises(BadConfig) as caught:
        read_settings(written(folder, text), Outer, **named)
    message = str(caught.value)
    assert message.startswith(str(folder / "settings.toml"))
    assert "\n" not in message
    return message


def test_settings_are_read_into_the_model(tmp_path):
    settings = read_settings(written(tmp_path, "seed = 3\n[inner]\nmpp = 0.5\nsizes = [1, 2]\n"), Outer)
    assert settings == Outer(seed=3, inner=Inner(mpp=0.5, sizes=(1, 2)))


def test_an_unknown_key_is_named_with_the_one_that_was_meant(tmp_path):
    message = refused(tmp_path, "seed = 3\n[inner]\nmmp = 0.5\n")
    assert "inner.mmp: unknown key; did you mean 'mpp'?" in message


def test_an_unknown_key_of_an_optional_section_is_named(tmp_path):
    assert "other.foldr: unknown key; did you mean 'folder'?" in refused(tmp_path, "seed = 3\n[other]\nfoldr = 'x'\n")


def test_an_unknown_key_like_none_lists_the_known_ones(tmp_path):
    assert "known are folder, mpp, sizes" in refused(tmp_path, "seed = 3\n[inner]\nqqqq = 1\n")


def test_an_impossible_value_is_named_with_its_meaning(tmp_path):
    message = refused(tmp_path, "seed = 3\n[inner]\nmpp = -2\n")
    assert "inner.mpp: -2 is impossible: input should be greater than 0; it is: Scale, um/px." in message


def test_a_value_inside_a_list_is_located(tmp_path):
    assert "inner.sizes.1: 'b' is impossible" in refused(tmp_path, "seed = 3\n[inner]\nsizes = [1, 'b']\n")


def test_what_a_model_refuses_as_a_whole_is_told_in_its_words(tmp_path):
    assert "inner: sizes: at most two" in refused(tmp_path, "seed = 3\n[inner]\nsizes = [1, 2, 3]\n")


def test_a_missing_key_is_named(tmp_path):
    assert "seed: is missing" in refused(tmp_path, "")


def test_further_mistakes_are_counted(tmp_path):
    assert "(and 1 more)" in refused(tmp_path, "seed = 3\n[inner]\nmpp = -2\nmmp = 1\n")


def test_broken_toml_is_refused_with_its_line(tmp_path):
    assert "line 2" in refused(tmp_path, "seed = 3\n[inner\n")


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(BadConfig, match="no such file"):
        read_settings(tmp_path / "absent.toml", Outer)


def test_variables_of_the_environment_are_filled_in(tmp_path):
    path = written(tmp_path, "seed = 3\n[inner]\nfolder = '${DATA}/x/${DATA}'\n")
    assert read_settings(path, Outer, environment={"DATA": "/d"}).inner.folder == "/d/x//d"


def test_a_variable_that_is_not_set_is_refused_unless_one_only_looks(tmp_path):
    text = "seed = 3\n[inner]\nfolder = '${DATA}/x'\n"
    assert "inner.folder: the environment variable DATA is not set; export DATA=" in refused(tmp_path, text, environment={})
    assert read_settings(written(tmp_path, text), Outer, environment={}, lenient=True).inner.folder == "${DATA}/x"


def test_settings_may_begin_with_the_mark_that_editors_of_windows_write(tmp_path):
    text = '[run]\nname = "x"\n[tiles]\nslides = ["s.tif"]\nmpp = 2.0\ntile_px = 64\n'
    (tmp_path / "plain.toml").write_text(text, encoding="utf-8")
    (tmp_path / "marked.toml").write_text(text, encoding="utf-8-sig")
    assert read_settings(tmp_path / "marked.toml", RunConfig) == read_settings(tmp_path / "plain.toml", RunConfig)


def test_a_setting_with_a_name_of_its_own_in_the_file_is_told_what_it_is(tmp_path):
    text = '[run]\nname = "x"\n[tiles]\nslides = ["s.tif"]\nmpp = 2.0\ntile_px = 64\n[annotations]\nvalidate = -1\n'
    (tmp_path / "s.toml").write_text(text)
    with pytest.raises(BadConfig, match=r"annotations\.validate: -1 is impossible.*it is: Images that decide when training stops"):
        read_settings(tmp_path / "s.toml", RunConfig)
