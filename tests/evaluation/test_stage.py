from __future__ import annotations

import json
from html.parser import HTMLParser

import numpy as np
import pytest

from hdgan.annotations.config import AnnotationsConfig
from hdgan.annotations.reader import AnnotationSet
from hdgan.annotations.stage import run_annotations
from hdgan.errors import BadConfig
from hdgan.evaluation import compare
from hdgan.evaluation.config import EvaluationConfig
from hdgan.evaluation.paper import paper_table
from hdgan.evaluation.stage import run_evaluation
from hdgan.features.bank import FeatureBank
from hdgan.labels import KIDNEY
from hdgan.store.atomic import read_image
from hdgan.store.stage import verify


@pytest.fixture(scope="module")
def evaluated(small_run):
    out = small_run.root / "evaluation"
    folders = {name: getattr(small_run, name) for name in ("generator", "samples", "annotations", "features", "classifier")}
    extra = {"unet": lambda image: np.zeros(image.shape[:2], dtype=np.uint8)}
    config = EvaluationConfig(panels=3, resamples=100, folds=3, remark="Same patient.")
    run_evaluation(config, **folders, out=out, seed=0, extra_predictors=extra)
    return out, json.loads((out / "report.json").read_text()), (config, folders, extra)


def test_every_method_is_measured_on_the_same_held_out_pixels(evaluated, small_run):
    _, report, _ = evaluated
    annotated = AnnotationSet(small_run.annotations)
    assert set(report["methods"]) == {"hdgan", "filters", "untrained", "unet", "constant"}
    assert tuple(report["images"]) == annotated.split["test"]
    for method in report["methods"].values():
        assert np.sum(method["confusion"]) == 6 * 32 * 32
        assert list(method["per_image"]) == report["images"]


def test_the_scores_are_those_of_the_predictions(evaluated, small_run):
    _, report, _ = evaluated
    annotated = AnnotationSet(small_run.annotations)
    truth = np.concatenate([annotated.mask(name).ravel() for name in report["images"]])
    constant = report["methods"]["unet"]["pooled"]  # it said class 0 everywhere
    assert constant["pixel_accuracy"] == pytest.approx((truth == 0).mean())
    assert constant["per_class"]["recall"][:2] == [1.0, 0.0]
    assert constant["per_class"]["dice"][2] is None


def test_contours_confusions_and_blends_stand_beside_the_scores(evaluated, small_run):
    _, report, _ = evaluated
    annotated = AnnotationSet(small_run.annotations)
    ours, constant = report["methods"]["hdgan"], report["methods"]["unet"]
    assert ours["boundary"]["distance_px"] == 1.0
    assert 0 < ours["boundary"]["macro_iou"] < 1
    assert ours["boundary"]["hd95_um"][0] == pytest.approx(2 * ours["boundary"]["hd95_px"][0])
    assert constant["boundary"]["macro_iou"] == 0
    assert constant["boundary"]["images_with_one_contour"][:2] == [6, 6]
    assert constant["boundary"]["hd95_px"][0] is None
    share = dict(zip(("dark", "bright"), np.array(ours["confusion"]).sum(axis=1), strict=False))
    for row in ours["confusions"]:
        assert row["share"] == pytest.approx(row["pixels"] / share[row["truth"]])
    (only,) = constant["confusions"]
    assert (only["truth"], only["taken_for"], only["share"]) == ("bright", "dark", 1.0)
    assert not any(annotated.blend(name).any() for name in report["images"])
    assert ours["without_blends"] is None


def test_probabilities_are_held_against_how_often_they_are_right(evaluated):
    out, report, _ = evaluated
    found, ours = report["reliability"], report["methods"]["hdgan"]["pooled"]
    counts = np.array(found["counts"])
    assert counts.sum() == 6 * 32 * 32
    full = counts > 0
    right = np.array([0.0 if value is None else value for value in found["accuracy"]])
    assert (right * counts).sum() / counts.sum() == pytest.approx(ours["pixel_accuracy"])
    sure = np.array([0.0 if value is None else value for value in found["confidence"]])
    assert found["ece"] == pytest.approx((np.abs(sure - right)[full] * counts[full]).sum() / counts.sum())
    page = (out / "report.html").read_text()
    assert "share that is right (up) of pixels by their probability" in page
    assert f"too {'high' if found['overconfidence'] > 0 else 'low'} by" in page


def test_the_tissue_under_the_coarsest_cell_is_told(evaluated, small_run):
    out, report, _ = evaluated
    facts = FeatureBank(small_run.features).facts
    coarsest = 32 / min(tap.resolution for tap in facts.taps)
    assert report["coarsest_cell"] == {"px": coarsest, "um": coarsest * 2}
    assert f"covers {coarsest:g} px, {coarsest * 2:.3g} um of tissue" in (out / "report.html").read_text()


def test_the_clean_up_is_measured_on_both_parts_and_validation_alone_decides(evaluated):
    _, report, _ = evaluated
    cleanup = report["cleanup"]
    assert set(cleanup["parts"]) == {"validate", "test"}
    before, after = (cleanup["parts"]["validate"][when]["macro_boundary_iou"] for when in ("before", "after"))
    assert cleanup["is_better"] == (after > before)
    assert before != after
    assert cleanup["parts"]["test"]["before"]["macro_dice"] == report["methods"]["hdgan"]["pooled"]["macro"]["dice"]


def test_images_are_shown_from_the_worst_on(evaluated):
    _, report, _ = evaluated
    ours = report["methods"]["hdgan"]
    dice = [ours["per_image"][name]["macro"]["dice"] for name in compare.worst_first(ours)]
    assert dice == sorted(dice)
    assert sorted(compare.worst_first(ours)) == sorted(report["images"])


def test_the_table_of_the_paper_holds_recall_and_dice_of_each_class(evaluated):
    _, report, _ = evaluated
    lines = paper_table(report)
    pooled = report["methods"]["hdgan"]["pooled"]
    assert lines[0].split() == ["class", "accuracy,", "%", "Dice,", "%"]
    assert lines[1].split() == ["dark", *(f"{100 * pooled['per_class'][key][0]:.1f}" for key in ("recall", "dice"))]
    assert lines[-1].split()[-1] == f"{100 * pooled['pixel_accuracy']:.1f}"
    kidney = {**report, "classes": KIDNEY.to_json()}
    kidney["methods"] = {"hdgan": {"pooled": {**pooled, "per_class": {key: [0.5] * 5 for key in ("recall", "dice")}}}}
    assert paper_table(kidney)[4].split() == ["arteriole", "50.0", "50.0", "52.1"]


def test_a_constant_prediction_stands_beside_every_number(evaluated, small_run):
    _, report, _ = evaluated
    annotated = AnnotationSet(small_run.annotations)
    counts = sum(np.bincount(annotated.mask(name).ravel(), minlength=3) for name in annotated.split["train"])
    predicted = np.array(report["methods"]["constant"]["confusion"]).sum(axis=0)
    assert predicted[counts.argmax()] == predicted.sum() == 6 * 32 * 32


def test_the_generators_features_beat_chance_and_an_untrained_network_of_other_weights(evaluated):
    _, report, _ = evaluated
    ours, untrained = (report["methods"][name]["pooled"]["macro"]["dice"] for name in ("hdgan", "untrained"))
    assert ours > 0.7
    assert ours > untrained + 0.05


def test_the_report_says_who_annotated_and_the_remark_beside_the_numbers(evaluated):
    out, report, _ = evaluated
    page = (out / "report.html").read_text()
    assert report["annotator"] == "painted rule"
    assert page.count("painted rule") >= 2
    assert page.count("Same patient.") >= 2
    assert "http" not in page.replace("http-equiv", "")


def test_the_page_is_well_formed_and_shows_its_pictures(evaluated):
    out, _, _ = evaluated
    opened: list[str] = []
    pictures = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag, attrs):
            if tag == "img":
                pictures.append(dict(attrs))
            elif tag != "meta":
                opened.append(tag)

        def handle_endtag(self, tag):
            assert opened.pop() == tag

    Reader().feed((out / "report.html").read_text())
    assert opened == []
    assert pictures
    assert all(p["src"].startswith("data:image/png;base64,") and p["alt"] for p in pictures)
    assert read_image(out / "panels.png").shape[0] > 3 * 160


def test_every_image_is_tested_once_by_a_classifier_that_never_saw_it(evaluated, small_run):
    out, report, _ = evaluated
    folds = report["folds"]
    annotated = AnnotationSet(small_run.annotations)
    assert sorted(name for part in folds["parts"] for name in part["test"]) == sorted(annotated.names)
    assert folds["pooled"]["num_pixels"] == 16 * 32 * 32
    assert folds["mean"]["macro_dice"] == pytest.approx(np.mean([part["macro_dice"] for part in folds["parts"]]))
    assert folds["pooled"]["macro"]["dice"] > 0.6
    assert "Cross-validation" in (out / "report.html").read_text()


def test_a_second_run_finds_everything_done_and_nothing_changed(evaluated):
    out, _, (config, folders, extra) = evaluated
    before = (out / "manifest.json").stat().st_mtime_ns
    run_evaluation(config, **folders, out=out, seed=0, extra_predictors=extra)
    assert (out / "manifest.json").stat().st_mtime_ns == before
    assert verify(out) == []


@pytest.fixture(scope="module")
def at_random(small_run):
    """The small run's masks with three images set apart, and the report on them."""
    root = small_run.root / "at-random"
    config = AnnotationsConfig(train=8, validate=2, test=3, random_test=3, class_map=small_run.masks / "classes.json")
    drawn = ("000015", "000002", "000007")
    run_annotations(config, samples=small_run.samples, masks=small_run.masks, at_random=drawn, out=root / "annotations", seed=0)
    folders = {name: getattr(small_run, name) for name in ("generator", "samples", "features", "classifier")}
    extra = {"unet": lambda image: np.zeros(image.shape[:2], dtype=np.uint8)}
    settings = EvaluationConfig(panels=1, resamples=20, folds=3, controls=("unet",))
    run_evaluation(settings, **folders, annotations=root / "annotations", out=root / "out", seed=0, extra_predictors=extra)
    return root


def test_images_drawn_at_random_are_measured_apart_by_every_method(at_random):
    report, annotated = json.loads((at_random / "out" / "report.json").read_text()), AnnotationSet(at_random / "annotations")
    assert report["random"]["images"] == ["000002", "000007", "000015"]
    assert set(report["random"]["methods"]) == set(report["methods"]) == {"hdgan", "unet", "constant"}
    for name, method in report["random"]["methods"].items():
        assert list(method["per_image"]) == report["random"]["images"]
        assert method.keys() == report["methods"][name].keys()
        assert np.sum(method["confusion"]) == 3 * 32 * 32
    truth = np.concatenate([annotated.mask(name).ravel() for name in report["random"]["images"]])
    assert report["random"]["methods"]["unet"]["pooled"]["pixel_accuracy"] == pytest.approx((truth == 0).mean())
    assert not set(report["images"]) & set(report["random"]["images"])
    assert sorted(name for part in report["folds"]["parts"] for name in part["test"]) == sorted(
        set(annotated.names) - {"000002", "000007", "000015"}
    )


def test_the_clean_up_is_measured_on_images_drawn_at_random_too(at_random):
    report = json.loads((at_random / "out" / "report.json").read_text())
    parts = report["cleanup"]["parts"]
    assert set(parts) == {"validate", "test", "random"}
    pooled = report["random"]["methods"]["hdgan"]["pooled"]
    before, after = parts["random"]["before"], parts["random"]["after"]
    assert (before["macro_dice"], before["pixel_accuracy"]) == (pooled["macro"]["dice"], pooled["pixel_accuracy"])
    assert before != after
    assert before != parts["test"]["before"]
    page = (at_random / "out" / "report.html").read_text()
    assert "drawn at random, before" in page
    assert "drawn at random, after" in page


def test_certainty_and_probabilities_are_measured_on_images_drawn_at_random_too(at_random):
    report = json.loads((at_random / "out" / "report.json").read_text())
    apart, right = report["random"], report["random"]["methods"]["hdgan"]["pooled"]["pixel_accuracy"]
    assert apart["certainty"].keys() == report["certainty"].keys()
    assert apart["certainty"]["accuracy_of_all"] == pytest.approx(right)
    assert apart["certainty"]["accuracy_of_most_certain_90_percent"] > right
    assert list(apart["image_uncertainty"]) == apart["images"]
    counts = np.array(apart["reliability"]["counts"])
    assert counts.sum() == 3 * 32 * 32
    shares = np.array([0.0 if value is None else value for value in apart["reliability"]["accuracy"]])
    assert (shares * counts).sum() / counts.sum() == pytest.approx(right)
    assert sum(report["reliability"]["counts"]) == 3 * 32 * 32
    assert apart["reliability"]["ece"] != report["reliability"]["ece"]


def test_the_page_tells_of_images_drawn_at_random_how_sure_and_how_good_each_is(at_random):
    report, page = json.loads((at_random / "out" / "report.json").read_text()), (at_random / "out" / "report.html").read_text()
    ours, apart = (
        page.index(f"Does {words}") for words in ("the ensemble know where it is wrong?", "it know so on images drawn at random?")
    )
    assert ours < apart
    assert f"{100 * report['random']['certainty']['accuracy_of_most_certain_90_percent']:.1f} %" in page[apart:]
    assert f"(ECE) {100 * report['random']['reliability']['ece']:.1f} %" in page[apart:]
    images = page[page.index("Each image drawn at random, %, the worst first") :]
    places = [images.index(name) for name in compare.worst_first(report["random"]["methods"]["hdgan"])]
    assert places == sorted(places)
    assert all(f"{value:.4f}" in images for value in report["random"]["image_uncertainty"].values())


def test_the_page_has_a_second_table_that_says_what_it_is(at_random, evaluated):
    page = (at_random / "out" / "report.html").read_text()
    assert "Each class on images drawn at random, %" in page
    assert "The same methods on images drawn at random, %" in page
    assert "A second test set: 3 images drawn at random from the samples that were not proposed" in page
    out, report, _ = evaluated
    assert "random" not in report
    assert "drawn at random" not in (out / "report.html").read_text()


@pytest.mark.parametrize(
    "impossible", [{"refinement": {"smallest_object_px_of": {"lumen": 3}}}, {"folds": 99}], ids=["an unknown class", "too many folds"]
)
def test_a_redo_by_settings_that_cannot_be_leaves_the_report_that_is_there(evaluated, impossible):
    out, report, (_, folders, extra) = evaluated
    config = EvaluationConfig.model_validate({"panels": 3, **impossible})
    with pytest.raises(BadConfig):
        run_evaluation(config, **folders, out=out, seed=0, extra_predictors=extra, redo=True)
    assert verify(out) == []
    assert json.loads((out / "report.json").read_text()) == report
