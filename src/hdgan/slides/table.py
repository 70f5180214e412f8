"""Which slides there are, whose they are, and what is known about them.

A source is a slide file, a folder, a pattern (`scans/*.svs`), or a table: a CSV file with one line for each slide.
Columns of a table (others are ignored, but for those called nearly like one that is not there, which are refused):

| column | also | meaning |
|---|---|---|
| `path` | `file` | the slide; relative to the folder of the table; may hold `${VARIABLE}` |
| `slide` | | its name; the stem of the file unless given |
| `patient` | `donor`, `case` | whose tissue; the slide's name unless given |
| `centre` | `center`, `site` | where it comes from |
| `stain` | | its stain |
| `diagnosis` | | of the slide, in one word of your own |
| `mpp` | | um/px of level 0; goes before what the file states |
| `areas` | | a CSV file, relative to the table, of the areas that were scanned or are wanted; see `read_areas` |
| `regions` | | a file of outlined regions, relative to the table; see `hdgan.slides.regions` |
"""

from __future__ import annotations

import csv
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from fnmatch import fnmatchcase
from pathlib import Path

from hdgan.errors import BadInput
from hdgan.slides import image
from hdgan.slides.dicom import series_of
from hdgan.slides.reader import SLIDE_SUFFIXES

_ALIASES = {"file": "path", "donor": "patient", "case": "patient", "center": "centre", "site": "centre"}
_COLUMNS = {"path", "slide", "patient", "centre", "stain", "diagnosis", "mpp", "areas", "regions"}
_NAME = re.compile(r"[^\w.+-]+")
_LONGEST_NAME = 200
"""Bytes: of the 255 that most file systems allow, those that are called after a slide need some more."""
_WORKBOOKS, _WORKBOOK_SUFFIXES = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0"), (".xlsx", ".xls", ".ods")
_AS_TEXT = 'save the table as "CSV UTF-8", as spreadsheets call it'
_NOT_DICOM = {*SLIDE_SUFFIXES, *image.SUFFIXES} - {".dcm"}
"""Files of a DICOM series are called anything; these are something else by their names."""


@dataclass(frozen=True)
class Area:
    """A rectangle in level-0 px."""

    x_px: int
    y_px: int
    width_px: int
    height_px: int


@dataclass(frozen=True)
class SlideEntry:
    """One slide, before it is opened."""

    name: str
    """Unique, and fit for a file name."""
    path: Path
    patient: str = ""
    """Whose tissue; the name of the slide where nobody said (filled by `find_slides`)."""
    centre: str = ""
    stain: str = ""
    diagnosis: str = ""
    mpp: float | None = None
    """um/px of level 0 as the table gives it."""
    areas: tuple[Area, ...] | None = None
    """Where tiles may lie; None for anywhere."""
    regions: Path | None = None
    """File of outlined regions; None where there is none."""
    called: str = ""
    """What stands for its file in artifacts and messages; the file's own name unless there is a pseudonym for it."""
    is_patient_known: bool = False
    """Whether a table says whose tissue it is (filled by `find_slides`); pseudonyms hide that a patient is called after the slide."""

    @property
    def file_name(self) -> str:
        """The name of its file, or what stands for it."""
        return self.called or self.path.name


def find_slides(sources: Sequence[str], *, base: Path) -> tuple[SlideEntry, ...]:
    """The slides that `sources` name, in the order of their names; relative paths start at `base`.

    Slides of one name are told apart by the folder they lie in. The files of a DICOM series in one folder are one slide, called by the first of
    them.

    Raises:
        BadInput: a folder, pattern or table is empty or cannot be read, two slides cannot be told apart, or a table names two files of one
            series. That a slide's file is missing is found when it is opened.
    """
    found = [entry for source in sources for entry in _of_source(source, base)]
    entries = _with_unique_names(_with_each_series_once(found))
    return tuple(sorted(entries, key=lambda entry: entry.name))


def read_table(path: Path) -> tuple[SlideEntry, ...]:
    """The slides of a table, in its order.

    Raises:
        BadInput: it is missing, has no lines or no column `path`, or a value does not fit; names the line.
    """
    entries = []
    for line, record in _records(path):
        where = f"{path}: line {line}"
        if "path" not in record:
            found = ", ".join(name.expandtabs(1) for name in record)
            raise BadInput(
                f"{path}: line 1", f"has no column `path`, but {found}", "name the columns there, with commas or semicolons between them"
            )
        _refuse_misspelt(record, path)
        if not record.get("path"):
            raise BadInput(where, "names no slide", "fill the column `path`")
        file = _expanded(record["path"], where=where, base=path.parent)
        areas, regions = record.get("areas"), record.get("regions")
        entries.append(
            SlideEntry(
                name=_safe(record.get("slide") or file.stem),
                path=file,
                patient=_composed(record.get("patient", "")),
                centre=_composed(record.get("centre", "")),
                stain=_composed(record.get("stain", "")),
                diagnosis=_composed(record.get("diagnosis", "")),
                mpp=_scale(record.get("mpp", ""), where=where),
                areas=read_areas(_expanded(areas, where=where, base=path.parent)) if areas else None,
                regions=_expanded(regions, where=where, base=path.parent) if regions else None,
            )
        )
    return tuple(entries)


def _refuse_misspelt(columns: Collection[str], path: Path) -> None:
    """Refuses a column that is called nearly like one that is not there: what is ignored in silence would be missing from folds and counts."""
    absent = _COLUMNS.difference(columns)
    for name in columns:
        meant = get_close_matches(name, absent, n=1, cutoff=0.8) if name not in _COLUMNS else []
        if meant:
            raise BadInput(
                f"{path}: line 1", f"has a column `{name}`, which is not read", f"call it `{meant[0]}`, or something less like it"
            )


def read_areas(path: Path) -> tuple[Area, ...]:
    """The rectangles of a CSV file with `x_px`, `y_px` and `size_px`, or `width_px` and `height_px`.

    Raises:
        BadInput: it is missing or empty, or a value is no whole number.
    """
    areas = []
    for line, record in _records(path):
        try:
            size = record.get("size_px")
            width, height = int(size or record["width_px"]), int(size or record["height_px"])
            areas.append(Area(int(record["x_px"]), int(record["y_px"]), width, height))
        except (KeyError, ValueError) as error:
            raise BadInput(
                f"{path}: line {line}", f"is no area ({error!r})", "give x_px, y_px and size_px as whole level-0 pixels"
            ) from error
    return tuple(areas)


def _of_source(source: str, base: Path) -> Sequence[SlideEntry]:
    path = _expanded(source, where=source, base=base)
    if path.is_dir():
        return [_alone(file) for file in _in_folder(path)]
    if path.suffix.lower() in _WORKBOOK_SUFFIXES:
        raise BadInput(path, "is a workbook and no slide", _AS_TEXT)
    if path.suffix.lower() == ".csv":
        return read_table(path)
    if any(mark in source for mark in "*?[") and not path.exists():
        return [_alone(file) for file in _matching(path, base)]
    return [_alone(path)]


def _alone(path: Path) -> SlideEntry:
    return SlideEntry(name=_safe(path.stem), path=path)


def _in_folder(folder: Path) -> list[Path]:
    """The slides of a folder; plain images count only where there is no slide: masks and thumbnails lie beside slides."""
    files = sorted(entry for entry in folder.iterdir() if entry.is_file() and not entry.name.startswith("."))
    for suffixes in (SLIDE_SUFFIXES, image.SUFFIXES):
        chosen = [file for file in files if file.suffix.lower() in suffixes]
        if chosen:
            return chosen
    raise BadInput(folder, "holds no slide", f"slides end in {', '.join(SLIDE_SUFFIXES[:5])} ..., or are PNG, JPEG or TIFF images")


def _matching(pattern: Path, base: Path) -> list[Path]:
    """The files of a pattern; hidden ones only where it names them, as in a shell: copies from a Mac have a `._a.svs` beside each `a.svs`."""
    steps = pattern.parts
    # A folder that is there is no pattern, even if it is called "study [2]".
    fixed = len(base.parts) if pattern.is_relative_to(base) else len(Path(pattern.anchor).parts)
    while fixed < len(steps) - 1 and Path(*steps[: fixed + 1]).is_dir():
        fixed += 1
    wanted = steps[fixed:]
    found = Path(*steps[:fixed]).glob(str(Path(*wanted)))
    named = {step for step in wanted if step.startswith(".")}
    files = sorted(path for path in found if path.is_file() and not _is_hidden(path.parts[fixed:], but_for=named))
    if not files:
        raise BadInput(pattern, "no file matches", "check the pattern; relative ones start at the folder of the settings")
    return files


def _is_hidden(steps: Sequence[str], *, but_for: Collection[str]) -> bool:
    return any(step.startswith(".") and not any(fnmatchcase(step, pattern) for pattern in but_for) for step in steps)


def _expanded(text: str, *, where: str, base: Path) -> Path:
    filled = os.path.expandvars(text.strip())
    missing = re.search(r"\$\{(\w+)\}", filled)
    if missing:
        raise BadInput(where, f"the environment variable {missing[1]} is not set", f"export {missing[1]}=... and run again")
    return base / Path(filled).expanduser()


def _safe(name: str) -> str:
    """`name` as a file name: whatever is no letter, digit, dot, plus or hyphen becomes an underscore."""
    return _NAME.sub("_", _composed(name)).lstrip(".") or "slide"


def _composed(name: str) -> str:
    """A name as most programs write it (Unicode NFC): a Mac may write an accent as a letter of its own, and one patient would be two."""
    return unicodedata.normalize("NFC", name)


def _with_each_series_once(entries: Sequence[SlideEntry]) -> list[SlideEntry]:
    """`entries` without those whose slide an earlier one names by another file of its DICOM series.

    Raises:
        BadInput: one of the two says more than its path, as lines of a table do.
    """
    first: dict[tuple[Path, str], SlideEntry] = {}
    kept = []
    for entry in entries:
        series = "" if entry.path.suffix.lower() in _NOT_DICOM else series_of(entry.path)
        other = first.setdefault((entry.path.parent.absolute(), series), entry) if series else entry
        if other is entry or other.path == entry.path:  # one file named twice has one name, too
            kept.append(entry)
        elif _alone(entry.path) != entry or _alone(other.path) != other:
            what = f"is of the same DICOM series as {other.path}, and so the same slide"
            raise BadInput(entry.path, what, "name one file of each series in the slide table")
    return kept


def _with_unique_names(entries: Sequence[SlideEntry]) -> list[SlideEntry]:
    times = Counter(entry.name.lower() for entry in entries)  # lower case: names become file names, also on macOS and Windows
    unique: dict[str, SlideEntry] = {}
    for entry in entries:
        name = entry.name if times[entry.name.lower()] == 1 else f"{_safe(entry.path.parent.name)}-{entry.name}"
        if len(name.encode()) > _LONGEST_NAME:
            what = f"has a name of {len(name.encode())} bytes, and files that are called after it would have too many"
            raise BadInput(entry.path, what, f"give it one of at most {_LONGEST_NAME} in the column `slide` of a slide table")
        if name.lower() in unique:
            other = unique[name.lower()].path
            if other == entry.path:
                raise BadInput(entry.path, "is named twice", "name each slide once")
            raise BadInput(entry.path, f"has the same name as {other}", "give each its own in the column `slide` of a slide table")
        unique[name.lower()] = replace(entry, name=name, patient=entry.patient or name, is_patient_known=bool(entry.patient))
    return list(unique.values())


def _scale(text: str, *, where: str) -> float | None:
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not 0.001 <= value < 1000:  # less is a scale in mm
        raise BadInput(where, f"{text!r} is no scale in um/px", "give a number such as 0.25, or leave it empty to use the slide's own")
    return value


def _records(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Line number and values of each line, by the names of the columns in lower case; empty lines are skipped.

    Raises:
        BadInput: the file cannot be read, has no lines, two columns for one thing, or a line with more values than columns.
    """
    try:
        with path.open("rb") as begun:
            if begun.read(4) in _WORKBOOKS:
                raise BadInput(path, "is a workbook and no CSV table, whatever its name", _AS_TEXT)
        with path.open(encoding="utf-8-sig", newline="") as file:
            header = file.readline()
            delimiter = ";" if header.count(";") > header.count(",") else ","  # what spreadsheets of half of Europe write
            file.seek(0)
            reader = csv.DictReader(file, delimiter=delimiter, skipinitialspace=True)
            rows = [(reader.line_num, row) for row in reader]
            columns = Counter(_column(name) for name in reader.fieldnames or ())
    except UnicodeDecodeError as error:
        raise BadInput(path, "is no text in UTF-8", _AS_TEXT) from error
    except (OSError, csv.Error) as error:
        raise BadInput(path, f"cannot be read as a CSV table ({error})") from error
    if not rows:
        raise BadInput(path, "has no lines below its header")
    twice = [name for name, times in columns.items() if times > 1 and name in _COLUMNS]
    if twice:
        raise BadInput(f"{path}: line 1", f"has {columns[twice[0]]} columns for `{twice[0]}`", "keep one of them")
    for line, row in rows:
        if any(value.strip() for value in row.get(None, ())):  # a comma in a name: the values beside it stand in the wrong columns
            raise BadInput(
                f"{path}: line {line}", f"has more values than the {len(columns)} columns", f"quote a value that holds {delimiter!r}"
            )
        values = {_column(name): (value or "").strip() for name, value in row.items() if isinstance(name, str)}
        if any(values.values()):
            yield line, values


def _column(name: str) -> str:
    lower = name.strip().lower()
    return _ALIASES.get(lower, lower)
