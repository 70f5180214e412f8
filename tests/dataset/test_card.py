from __future__ import annotations

from hdgan.dataset.candidates import CandidateRow
from hdgan.dataset.card import Origin, card
from hdgan.dataset.config import DatasetConfig
from hdgan.dataset.write import Screened
from hdgan.labels import ClassMap, LabelClass
from hdgan.refinement.config import RefinementConfig

from .stripes import CLASSES


def _row(index, shares, uncertainty):
    return CandidateRow(f"{index:06d}", index, 1, "", "", "", uncertainty, 0.0, shares)


def _card(config=None, mpp=2.0, classes=CLASSES):
    pairs = (_row(0, (0.25, 0.75, 0.0), 0.1), _row(1, (1.0, 0.0, 0.0), 0.3))
    screened = Screened(pairs, (_row(2, (0.0, 0.0, 1.0), 0.9),))
    origin = Origin("gen-hash", "cls-hash", "oracle (glomeruli of biopsy-a)", 10)
    config = config or DatasetConfig(title="Kidney", licence="CC BY 4.0", attribution="Bueno et al. 2020")
    return card(config, origin, screened, classes=classes, mpp=mpp, size_px=64, seed=7)


def test_the_card_says_whence_the_pairs_come():
    text = _card()
    for fact in ("gen-hash", "cls-hash", "oracle (glomeruli of biopsy-a)", "CC BY 4.0", "Bueno et al. 2020", "2 um/px (128 um wide)"):
        assert fact in text
    assert "3 candidates were drawn; the 1 most uncertain were dropped" in text
    assert "Kept: 0.1000 to 0.3000" in text


def test_the_card_says_of_which_label_all_images_are():
    assert "| label of the images | as the training tiles are, where the generator knows labels |" in _card()
    assert "| label of the images | biopsy-a, asked for |" in _card(DatasetConfig(condition="biopsy-a"))


def test_the_card_counts_classes_over_what_was_kept_and_names_those_that_never_occur():
    text = _card()
    assert "| 0 | left | 62.50% | 2 |" in text
    assert "| 1 | right | 37.50% | 1 |" in text
    assert "No pixel carries the label of: none." in text


def test_names_cannot_end_a_cell_of_the_table_or_be_taken_for_a_tag():
    names = ClassMap(tuple(LabelClass(name, "#000000") for name in ("tubule | interstitium", "tuft <Knäuel>", "c")))
    text = _card(DatasetConfig(attribution="A\n| B"), classes=names)
    assert "| 0 | tubule &#124; interstitium | 62.50% | 2 |" in text
    assert "| 1 | tuft &lt;Knäuel> | 37.50% | 1 |" in text
    assert "| attribution | A &#124; B |" in text


def test_the_card_says_what_the_pairs_are_not():
    text = _card()
    assert "**Images and labels are synthetic.**" in text
    assert "Not a test set" in text
    assert "Not for diagnosis" in text


def test_the_head_of_the_card_stays_readable_whatever_the_title():
    head = _card(DatasetConfig(title='A "b"\nc: \\d')).split("---")[1]
    assert 'pretty_name: "A \\"b\\" c: \\\\d"' in head
    assert "not known" in _card(mpp=None)


def test_the_card_says_whether_contours_were_cleaned_up_and_how():
    assert "clean-up of contours | none" in _card()
    refinement = RefinementConfig(radius_px=3, epsilon=0.02, smallest_object_px_of={"left": 9})
    text = _card(DatasetConfig(refinement=refinement))
    assert "clean-up of contours | radius_px 3, epsilon 0.02, smallest_object_px_of {'left': 9} |" in text
