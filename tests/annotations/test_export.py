from __future__ import annotations

import pytest

from hdgan.annotations.config import AnnotationsConfig
from hdgan.annotations.export import export_sheets
from hdgan.annotations.stage import run_annotations
from hdgan.errors import BadInput
from hdgan.store.atomic import read_image


def test_sheets_show_every_annotated_sample_or_those_that_are_named(samples, masks, tmp_path):
    out = tmp_path / "4-annotations"
    run_annotations(AnnotationsConfig(train=4, validate=2, test=3), samples=samples, masks=masks, out=out, seed=1)
    pages = export_sheets(out, samples=samples, out=tmp_path / "all", per_page=4)
    assert [path.name for path in pages] == ["page-01.png", "page-02.png", "page-03.png"]
    whole, rest = read_image(pages[0]), read_image(pages[2])
    assert rest.shape[0] < whole.shape[0]
    (one,) = export_sheets(out, samples=samples, out=tmp_path / "one", names=["000003", "000001"])
    assert read_image(one).shape == rest.shape
    with pytest.raises(BadInput, match="'000099' is not annotated"):
        export_sheets(out, samples=samples, out=tmp_path / "none", names=["000099"])
