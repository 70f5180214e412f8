from __future__ import annotations

import json

import pytest

from hdgan.errors import BadInput
from hdgan.labels import KIDNEY, read_class_map

ROWS = KIDNEY.to_json()["classes"]


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"schema": 2}, "has schema 2, this version reads 1"),
        ({"ignore": 0}, "ignores 0; only 255 is no class"),
        ({"classes": [ROWS[0] | {"name": ["whitespace"]}, *ROWS[1:]]}, "a name or a colour is no text"),
        ({"classes": [ROWS[0] | {"colour": "#fff"}, *ROWS[1:]]}, "colour '#fff' of 'whitespace'; write it as #rrggbb"),
        ({"classes": [ROWS[0] | {"name": "artery"}, *ROWS[1:]]}, "names must be unique"),
        ({"classes": ROWS[1:]}, "class indices are"),
        ({"classes": 5}, "not a class map"),
    ],
)
def test_a_class_map_that_means_something_else_is_refused_with_its_file(tmp_path, changed, reason):
    path = tmp_path / "classes.json"
    path.write_text(json.dumps(KIDNEY.to_json() | changed))
    with pytest.raises(BadInput) as refusal:
        read_class_map(path)
    assert str(refusal.value).startswith(f"{path}: ")
    assert reason in str(refusal.value)


def test_a_list_is_no_class_map(tmp_path):
    (tmp_path / "classes.json").write_text("[]")
    with pytest.raises(BadInput, match="not a class map"):
        read_class_map(tmp_path / "classes.json")


def test_schema_and_ignored_value_may_be_left_out_and_the_mark_of_editors_is_no_hindrance(tmp_path):
    (tmp_path / "classes.json").write_text(json.dumps({"classes": ROWS}), encoding="utf-8-sig")
    assert read_class_map(tmp_path / "classes.json") == KIDNEY
