"""The classes of a project: index, name and colour, and the value that means "not annotated".

A mask is an 8-bit array `[H, W]` of class indices; 255 is ignored everywhere. The map is stored as JSON
(`docs/formats/classes.md`).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hdgan.errors import BadInput

IGNORE = 255
"""Mask value of pixels that nobody labelled; they neither train nor count."""

SCHEMA = 1
_COLOUR = re.compile(r"#[0-9a-fA-F]{6}\Z")


@dataclass(frozen=True)
class LabelClass:
    """One class: `name` as in reports and GeoJSON, `colour` as #rrggbb."""

    name: str
    colour: str

    @property
    def rgb(self) -> tuple[int, int, int]:
        """The colour as three values 0 to 255."""
        return (int(self.colour[1:3], 16), int(self.colour[3:5], 16), int(self.colour[5:7], 16))


@dataclass(frozen=True)
class ClassMap:
    """The classes in the order of their mask index (0 is the first)."""

    classes: tuple[LabelClass, ...]

    def __post_init__(self) -> None:
        """Refuses maps that no mask could use.

        Raises:
            BadInput: fewer than 2 or more than 255 classes, a repeated or empty name, a colour that is not #rrggbb.
        """
        if not 2 <= len(self.classes) <= IGNORE:
            raise BadInput("class map", f"{len(self.classes)} classes", "give between 2 and 255")
        names = [entry.name for entry in self.classes]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated or not all(name.strip() for name in names):
            raise BadInput("class map", f"names must be unique and not empty, received {names}")
        for entry in self.classes:
            if not _COLOUR.match(entry.colour):
                raise BadInput("class map", f"colour {entry.colour!r} of {entry.name!r}", "write it as #rrggbb")

    def __len__(self) -> int:
        """The number of classes, without the ignored value."""
        return len(self.classes)

    @property
    def names(self) -> tuple[str, ...]:
        """The class names in mask order."""
        return tuple(entry.name for entry in self.classes)

    def index(self, name: str) -> int:
        """The mask value of the class called `name`.

        Raises:
            BadInput: there is no such class.
        """
        if name not in self.names:
            raise BadInput("class map", f"no class {name!r}", f"known are {', '.join(self.names)}")
        return self.names.index(name)

    def to_json(self) -> dict[str, Any]:
        """Plain data, as stored."""
        rows = [{"index": i, "name": c.name, "colour": c.colour} for i, c in enumerate(self.classes)]
        return {"schema": SCHEMA, "ignore": IGNORE, "classes": rows}

    @classmethod
    def from_json(cls, data: Any, *, where: str | Path = "class map") -> ClassMap:
        """The map in `data`, as `to_json` writes it.

        Raises:
            BadInput: the data is of another shape or schema, ignores another value, its indices are not 0, 1, 2, ..., or no mask could use it.
        """
        try:
            schema, ignore = data.get("schema", SCHEMA), data.get("ignore", IGNORE)
            rows = sorted(data["classes"], key=lambda row: int(row["index"]))
            classes = tuple(LabelClass(row["name"], row["colour"]) for row in rows)
            indices = [int(row["index"]) for row in rows]
            if not all(isinstance(text, str) for entry in classes for text in (entry.name, entry.colour)):
                raise TypeError("a name or a colour is no text")
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise BadInput(where, f"not a class map ({error!r})", "see docs/formats/classes.md") from error
        if schema != SCHEMA:
            raise BadInput(where, f"has schema {schema}, this version reads {SCHEMA}", "see docs/formats/classes.md")
        if ignore != IGNORE:
            raise BadInput(where, f"ignores {ignore}", f"only {IGNORE} is no class: write it in the masks and here")
        if indices != list(range(len(indices))):
            raise BadInput(where, f"class indices are {indices}", "number them 0, 1, 2, ... without gaps")
        try:
            return cls(classes)
        except BadInput as error:
            raise BadInput(where, error.what, error.remedy) from error


def read_class_map(path: Path) -> ClassMap:
    """The class map stored at `path`.

    Raises:
        BadInput: the file is missing, no JSON, or no class map.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise BadInput(path, f"cannot be read as a class map ({error})") from error
    return ClassMap.from_json(data, where=path)


KIDNEY = ClassMap(
    (
        LabelClass("whitespace", "#f2f2f2"),
        LabelClass("cortical tubulointerstitium", "#e5a3c7"),
        LabelClass("glomerulus", "#3b6fd4"),
        LabelClass("arteriole", "#f2a93b"),
        LabelClass("artery", "#c8352b"),
    )
)
"""The five classes of the paper (arXiv 2207.02712, Table 1)."""
