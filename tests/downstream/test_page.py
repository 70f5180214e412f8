from __future__ import annotations

import numpy as np

from hdgan.downstream.compare import differences, remarks
from hdgan.downstream.fit import HeldPairs
from hdgan.downstream.measure import measure
from hdgan.downstream.page import report_page

from .conftest import CLASSES


def _report():
    rng = np.random.default_rng(0)
    masks = [rng.integers(0, 3, (8, 8)).astype(np.uint8) for _ in range(12)]
    pairs = HeldPairs([np.zeros((8, 8, 3), np.uint8)] * 12, masks)
    predictions = {"synthetic": masks, "real": [mask[::-1].copy() for mask in masks]}
    rows = [
        {"arm": name, "trained_on": f"<{name}> images", "scores": measure(found, pairs, classes=CLASSES, seed=0, resamples=100)}
        for name, found in predictions.items()
    ]
    gaps = differences(predictions, pairs, num_classes=4, seed=0, resamples=100)
    tested = {"set": "test", "tiles": 12, "origin": "slide a", "mpp": 2.0, "tile_px": 8, "is_same_patient": True}
    notes = remarks(rows, gaps, is_same_patient=True, annotator="oracle")
    return {"tested_on": tested, "arms": rows, "differences": gaps, "remarks": notes}


def test_the_page_has_every_remark_and_says_same_patient_at_the_top():
    report = _report()
    page = report_page(report, None, classes=CLASSES)
    assert "same patient" in page.split("<h2>")[0]
    for line in report["remarks"]:
        assert line.replace("<", "&lt;") in page
    assert "<img" not in page


def test_classes_without_a_test_pixel_have_no_row_and_names_cannot_break_the_page():
    page = report_page(_report(), np.zeros((4, 4, 3), np.uint8), classes=CLASSES)
    table = page.split("<table>")[1].split("</table>")[0]
    assert "<td>ring</td>" in table
    assert "never" not in table
    assert "&lt;synthetic&gt; images" in page
    assert "<synthetic>" not in page
    assert page.count("<img") == 1
