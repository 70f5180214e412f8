"""The blind test: drawn and real crops mixed on one numbered sheet, the key apart from it, and the score of somebody's answers.

Format of the three files: docs/formats/quality.md; how to take the test: docs/concepts/image-quality.md.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from hdgan.errors import BadConfig, BadInput, DamagedArtifact
from hdgan.measures.intervals import binomial_interval
from hdgan.pipeline.quality import known_slides
from hdgan.pipeline.run import SETTINGS, open_run
from hdgan.pipeline.subject import FOLDER, Subject, open_subject
from hdgan.plots.sheets import numbered_sheet, scaled
from hdgan.randomness import stream
from hdgan.store.atomic import read_json, write_json, write_png
from hdgan.store.layout import RunFolder

SHEET, KEY = "blind.png", "blind-key.json"
SCHEMA = 1
NUM_EACH = 16
_FIRST_SAMPLE = 10**6
"""Number of the first sample: none that another sheet shows."""
_FIRST_CROP = 8 * 10**12
_COLUMNS = 8
_CELL_PX = 256
_NOT_STATED = "not stated"
Answer = Literal["real", "drawn"]


@dataclass(frozen=True)
class BlindScore:
    """What somebody's answers are worth."""

    answered: int
    right: int
    low: float
    high: float
    """Ends of the 95 % interval of the share that is right; half is guessing."""
    real_taken_for_drawn: int
    drawn_taken_for_real: int
    left_out: int
    """Crops of the sheet without an answer."""

    @property
    def share(self) -> float:
        """Of the answers that are right."""
        return self.right / self.answered


def write_blind(
    root: Path, *, slides: Sequence[str], psi: float, seed: int = 0, condition: str | None = None, attribution: str | None = None
) -> tuple[Path, Path]:
    """Sheet and key of 16 samples at truncation `psi` and 16 real crops of tiles of `slides`, in an order that `seed` decides.

    Without a `condition` the samples have the label that the tiles of these slides have, if it is one. Whose the slides are is said by `attribution`,
    or by the run's settings.

    Raises:
        BadConfig: no slide is named, no training tile is from one of them, nothing says whose they are, or there is no such label.
        BadInput, DamagedArtifact: as `open_subject`.
    """
    if not slides:
        raise BadConfig("--blind", "real crops are shown", "name the slides that may be shown, with --may-show")
    owner = _attribution(root, attribution)
    subject = open_subject(RunFolder(root), seed=seed)
    known_slides(subject.tiles, slides)
    shown = [i for i in subject.trained if subject.tiles.rows[i].slide in slides]
    if not shown:
        raise BadConfig("--may-show", f"all tiles of {', '.join(slides)} are held out", "name slides of the training")
    condition = condition or _label(subject, shown)
    if condition is not None:
        subject = open_subject(RunFolder(root), seed=seed, condition=condition)
    real, about_real = _real(subject, shown)
    drawn = subject.drawing(psi=psi)(_FIRST_SAMPLE, NUM_EACH)
    images = [*drawn, *real]
    about = [{"is_real": False, "sample": _FIRST_SAMPLE + i} for i in range(NUM_EACH)] + about_real
    order = stream(seed, "quality.blind").permutation(len(images)).tolist()
    sheet, key = root / FOLDER / SHEET, root / FOLDER / KEY
    crops = {str(number): about[i] for number, i in enumerate(order, start=1)}
    facts = {"schema": SCHEMA, "psi": psi, "seed": seed, "condition": condition, "inputs": subject.inputs, "mpp": subject.tiles.mpp}
    write_png(sheet, numbered_sheet([scaled(images[i], least_px=_CELL_PX) for i in order], first=1, columns=_COLUMNS))
    write_json(key, facts | {"slides": list(slides), "attribution": owner, "crops": crops})
    return sheet, key


def score_blind(root: Path, answers: Path) -> BlindScore:
    """How many of the `answers`, a CSV with columns `number` and `answer` (real or drawn), the run's key calls right.

    Raises:
        BadInput: there is no key, or the answers are not of its crops.
        DamagedArtifact: the key is not one of ours.
    """
    path = root / FOLDER / KEY
    if not path.exists():
        raise BadInput(path, "there is no key", "write sheet and key first: hdgan quality RUN --blind --may-show SLIDE")
    try:
        key: dict[int, Answer] = {int(n): "real" if crop["is_real"] else "drawn" for n, crop in read_json(path)["crops"].items()}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DamagedArtifact(path, f"is no key ({error!r})", "write sheet and key again") from error
    given = _answers(answers, key)
    right = sum(key[number] == answer for number, answer in given.items())
    wrong = [key[number] for number, answer in given.items() if key[number] != answer]
    low, high = binomial_interval(right, len(given))
    return BlindScore(len(given), right, low, high, wrong.count("real"), wrong.count("drawn"), len(key) - len(given))


def _attribution(root: Path, given: str | None) -> str:
    """Whose the slides are: as given, or as the settings of the run's dataset say."""
    stated = open_run(root).config.dataset.attribution if given is None and (root / SETTINGS).exists() else given
    if not stated or stated == _NOT_STATED:
        raise BadConfig("--blind", "nothing says whose the real crops are", "give --attribution, or dataset.attribution in the settings")
    return stated


def _label(subject: Subject, shown: Sequence[int]) -> str | None:
    """The one label of the tiles numbered `shown`: samples of other stains would be told by their colour."""
    conditions = subject.generator.conditions
    names = {getattr(subject.tiles.rows[i], conditions.by, None) for i in shown} if conditions else set()
    return names.pop() if len(names) == 1 else None


def _real(subject: Subject, shown: Sequence[int]) -> tuple[list[np.ndarray], list[dict[str, Any]]]:
    """Crops as the training takes them, of different tiles as far as there are enough, and where they are from."""
    picks = stream(subject.seed, "quality.blind.tiles").choice(shown, size=NUM_EACH, replace=len(shown) < NUM_EACH).tolist()
    crops = [subject.crops([i]).crop(_FIRST_CROP + k) for k, i in enumerate(picks)]
    about = []
    for k, i in enumerate(picks):
        row = subject.tiles.rows[i]
        place = {"x_px": row.x_px, "y_px": row.y_px, "level0_px": row.level0_px}
        about.append({"is_real": True, "slide": row.slide, "tile": row.name, **place, "crop": _FIRST_CROP + k})
    return crops, about


def _answers(path: Path, key: dict[int, Answer]) -> dict[int, str]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BadInput(path, f"cannot be read ({error})", "give a CSV with the columns number and answer") from error
    given: dict[int, str] = {}
    for line, row in enumerate(rows, start=2):
        number, answer = ((row.get(name) or "").strip().lower() for name in ("number", "answer"))
        if not answer and number:
            continue  # no answer was given
        if answer not in ("real", "drawn"):
            raise BadInput(path, f"line {line}: the answer {answer!r} is neither real nor drawn", "columns are number and answer")
        if not number.isdecimal() or int(number) not in key or int(number) in given:
            raise BadInput(path, f"line {line}: {number!r} is no number of the sheet, or stands twice", f"numbers are 1 to {len(key)}")
        given[int(number)] = answer
    if not given:
        raise BadInput(path, "holds no answer", "columns are number and answer: real or drawn")
    return given
