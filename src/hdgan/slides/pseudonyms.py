"""Names of patients and slides replaced by pseudonyms that only the holder of a key can make.

A pseudonym is the first 48 bits of HMAC-SHA256 (RFC 2104) of a name, under a random key of 256 bits, with a prefix for its kind: `p-` for patients,
`s-` for slides, `c-` for classes of outlined regions that nobody said may be named. Equal names give equal pseudonyms under one key, in every run; without
the key a name cannot be tried out. Names are compared after Unicode normalisation (NFC), since file systems differ in it.

The true path of a slide stays in `SlideEntry.path`, because it must be opened; `hidden` and `hiding` keep it out of lines and errors.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

from hdgan.errors import BadConfig, BadInput, HdganError
from hdgan.progress import Progress
from hdgan.slides import image
from hdgan.slides.reader import SLIDE_SUFFIXES
from hdgan.slides.table import SlideEntry, find_slides
from hdgan.store.private import create_private

_HEADER = "hdgan-pseudonym-key-1"
_KEY_BYTES = 32
_LENGTH = 12
"""Hexadecimal digits of a pseudonym: among 10,000 names two are alike with a chance of 2 in 10 million, and that is refused."""
_TELLING = 4
"""Letters and digits of a name that is looked for inside a text. A shorter one, such as `12`, may be a number of ours."""

Error = TypeVar("Error", bound=HdganError)


@dataclass(frozen=True)
class Pseudonyms:
    """What names become under one key."""

    key: bytes = field(repr=False)

    def patient(self, name: str) -> str:
        """What stands for a patient."""
        return f"p-{self._digest('patient', name)[:_LENGTH]}"

    def slide(self, name: str) -> str:
        """What stands for a slide."""
        return f"s-{self._digest('slide', name)[:_LENGTH]}"

    def region_class(self, name: str, *, shown: Iterable[str]) -> str:
        """What stands for a class of outlined regions: itself where it is one of `shown` (capitals do not matter) or has no name, else a pseudonym.

        Of a class that is derived from one shown ("glomerulus: by Smith") the first part stays. A * at the end, by which QuPath ignores a class, stays.
        """
        known = {one.casefold() for one in shown}
        if not name or name.casefold() in known:
            return name
        mark = f"c-{self._digest('class', name)[:_LENGTH]}{'*' if name.endswith('*') else ''}"
        parts = name.split(":")
        prefixes = (":".join(parts[:num]) for num in range(len(parts) - 1, 0, -1))
        return next((f"{prefix}: {mark}" for prefix in prefixes if prefix.casefold() in known), mark)

    @property
    def fingerprint(self) -> str:
        """Tells one key from another and says nothing about it."""
        return f"hmac:{self._digest('key', 'fingerprint')}"

    def renamed(self, entries: Sequence[SlideEntry]) -> tuple[SlideEntry, ...]:
        """The slides in the order of their pseudonyms; their paths are the true ones.

        Raises:
            BadInput: two names have one pseudonym.
        """
        found = [self._renamed(entry) for entry in entries]
        if len({entry.name for entry in found}) < len(found):
            raise BadInput("pseudonyms", "two slides have the same", "give each its own name in the column `slide`, or use another key")
        if len({entry.patient for entry in found}) < len({_normal(entry.patient) for entry in entries}):
            raise BadInput("pseudonyms", "two patients have the same", "use another key")
        return tuple(sorted(found, key=lambda entry: entry.name))

    def _renamed(self, entry: SlideEntry) -> SlideEntry:
        name = self.slide(entry.name)
        return replace(entry, name=name, patient=self.patient(entry.patient), called=f"{name}{_kind(entry.path)}")

    def _digest(self, kind: str, name: str) -> str:
        message = f"{kind}\0{_normal(name)}".encode()
        return hmac.new(self.key, message, hashlib.sha256).hexdigest()


def find_pseudonymous(sources: Sequence[str], *, base: Path, pseudonyms: Pseudonyms) -> tuple[SlideEntry, ...]:
    """As `table.find_slides`, each slide and patient by its pseudonym, in the order of the pseudonyms.

    Raises:
        BadConfig: a source names a slide or a patient itself; settings are copied into the run.
        BadInput: as `find_slides`, but for values, which are not shown.
    """
    try:
        entries = find_slides(sources, base=base)
    except BadInput as error:
        tables = tuple(str(base / Path(os.path.expandvars(source)).expanduser()) for source in sources if source.lower().endswith(".csv"))
        shown = error.where if tables and error.where.startswith(tables) else "tiles.slides"
        what = "is refused for a reason that is not shown, since it may name a slide or patient"
        raise BadInput(shown, what, "run `hdgan inspect` on the same slides to see it") from None
    names = {name for entry in entries for name in (entry.name, entry.path.stem, entry.patient) if _is_telling(name)}
    for number, source in enumerate(sources, start=1):
        if any(_mentions(source, name) for name in names):
            what = f"number {number} names a slide or patient, and settings are copied into the run"
            raise BadConfig("tiles.slides", what, "name a folder, a pattern or a slide table instead")
    return pseudonyms.renamed(entries)


def open_key(path: Path) -> Pseudonyms:
    """The pseudonyms of a key file.

    Raises:
        BadInput: there is none, or it is no key file.
    """
    try:
        words = path.read_text(encoding="ascii").split()
    except (OSError, ValueError) as error:
        what = "no such key file" if isinstance(error, FileNotFoundError) else f"cannot be read as a key file ({type(error).__name__})"
        raise BadInput(path, what, "put it back, or name another in `pseudonym_key`: another key gives other pseudonyms") from error
    if len(words) != 2 or words[0] != _HEADER or not re.fullmatch(f"[0-9a-f]{{{2 * _KEY_BYTES}}}", words[1]):
        raise BadInput(
            path, "is no key file of ours", f"name one that holds `{_HEADER}` and 64 hexadecimal digits, or none to have it made"
        )
    return Pseudonyms(bytes.fromhex(words[1]))


def make_key(path: Path) -> bool:
    """Whether a new random key was put at `path`, for its owner alone; False when a file is there already.

    Raises:
        BadInput: it cannot be written.
    """
    try:
        return create_private(path, f"{_HEADER} {secrets.token_hex(_KEY_BYTES)}\n".encode())
    except OSError as error:
        raise BadInput(path, f"a key file cannot be made there ({error.strerror})", "name a folder that you can write to") from error


def hidden(text: str, entries: Sequence[SlideEntry]) -> str:
    """`text` with the path, file name and stem of each slide's file, its region file, and the folder it lies in, replaced by what stands for them."""
    if not text:  # for each tile of a cohort
        return text
    for entry in sorted(entries, key=lambda entry: -len(str(entry.path))):
        folder = str(entry.path.parent)
        for told in () if entry.regions is None else _ways_to_say(entry.regions):
            text = _replaced(text, told, f"{entry.name}.regions")
        for told in _ways_to_say(entry.path):
            text = _replaced(text, told, entry.file_name)
        if entry.path.stem in text and _is_telling(entry.path.stem):
            text = re.sub(_as_word(entry.path.stem), entry.name, text)
        if len(folder) > 1:
            text = text.replace(folder + os.sep, "")
    return text


def hidden_error(error: Error, entries: Sequence[SlideEntry]) -> Error:
    """A copy of the error with a message in which no slide is named; it leads back to no other."""
    other = type(error).__new__(type(error))
    other.__dict__.update(error.__dict__)
    other.args = tuple(hidden(arg, entries) if isinstance(arg, str) else arg for arg in error.args)
    if isinstance(other, BadInput):
        other.where, other.what, other.remedy = (hidden(part, entries) for part in (other.where, other.what, other.remedy))
    return other


@contextmanager
def hiding(entries: Sequence[SlideEntry]) -> Iterator[None]:
    """Errors that a user can mend, and those of the operating system about a slide, leave the block with no slide named."""
    try:
        yield
    except HdganError as error:
        raise hidden_error(error, entries) from None
    except OSError as error:
        line = hidden(str(error), entries)
        if line == str(error):  # about a file of ours
            raise
        raise HdganError(line) from None


@dataclass(frozen=True)
class HidingProgress:
    """Passes everything on with no slide named."""

    progress: Progress
    entries: Sequence[SlideEntry]

    def start(self, label: str, *, total: int, done: int = 0) -> None:
        """As `Progress.start`."""
        self.progress.start(hidden(label, self.entries), total=total, done=done)

    def advance(self, steps: int = 1, *, note: str = "") -> None:
        """As `Progress.advance`."""
        self.progress.advance(steps, note=hidden(note, self.entries))

    def finish(self) -> None:
        """As `Progress.finish`."""
        self.progress.finish()

    def say(self, line: str) -> None:
        """As `Progress.say`."""
        self.progress.say(hidden(line, self.entries))


@lru_cache(maxsize=1 << 16)
def _ways_to_say(path: Path) -> tuple[str, ...]:
    """The path as given, absolute and without links, longest first, and the file's name."""
    places = {str(path), str(path.absolute()), os.path.realpath(path)}
    return (*sorted(places, key=lambda place: (-len(place), place)), path.name)


def _replaced(text: str, told: str, name: str) -> str:
    """`text` with `name` where `told` stands by itself: the end of a pseudonym may happen to read like the short name of another slide."""
    return re.sub(_as_word(told), name, text) if told in text else text


def _kind(path: Path) -> str:
    """The suffix of a slide, such as `.svs`; of an unknown kind none: in `John.Doe` it is a part of the name."""
    suffix = path.suffix.lower()
    return suffix if suffix in (*SLIDE_SUFFIXES, *image.SUFFIXES) else ""


def _normal(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _is_telling(name: str) -> bool:
    return len(re.sub(r"[\W_]", "", name)) >= _TELLING


def _as_word(name: str) -> str:
    return rf"(?<![^\W_]){re.escape(name)}(?![^\W_])"


def _mentions(text: str, name: str) -> bool:
    return re.search(_as_word(name), text, re.IGNORECASE) is not None
