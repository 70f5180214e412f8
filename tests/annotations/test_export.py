from __future__ import annotations

import pytest

from hdgan.annotations.config import AnnotationsConfig
from hdgan.annotations.export import export_sheets
from hdgan.annotations.reader import AnnotationSet
from hdgan.annotations.stage import run_annotations
from hdgan.errors import BadInput, BadMask
from hdgan.store.atomic import read_image, read_mask, write_png


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


def test_what_lies_beside_the_sheets_ties_corrections_to_what_was_shown(samples, masks, tmp_path):
    config = AnnotationsConfig(train=4, validate=2, test=3)
    run_annotations(config, samples=samples, masks=masks, out=tmp_path / "4-annotations", seed=1)
    export_sheets(tmp_path / "4-annotations", samples=samples, out=tmp_path / "sheets")
    corrections = tmp_path / "corrections"
    corrections.mkdir()
    (corrections / "corrections.json").write_bytes((tmp_path / "sheets" / "corrections.json").read_bytes())
    (corrections / "000003.geojson").write_text('{"type": "FeatureCollection", "features": []}')
    corrected = config.model_copy(update={"corrections": corrections})
    run_annotations(corrected, samples=samples, masks=masks, out=tmp_path / "corrected", seed=1)
    assert AnnotationSet(tmp_path / "corrected").row("000003").annotator == "unnamed; looked at by unnamed, unchanged"
    other = read_mask(masks / "000003.png")
    other[0, 0] = 2
    write_png(masks / "000003.png", other)
    with pytest.raises(BadMask, match="000003 was corrected on a proposal with hash"):
        run_annotations(corrected, samples=samples, masks=masks, out=tmp_path / "again", seed=1)
