"""Opens and cuts each slide of a folder, and prints a line of JSON before and after each: a child that a crash may end.

`python -m tests.tiles.cut_damaged FOLDER [NAME ...]`
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

from hdgan.errors import BadInput
from hdgan.slides.reader import open_slide
from hdgan.slides.table import SlideEntry
from hdgan.tiles.config import TilesConfig
from hdgan.tiles.cut import cut_slide
from hdgan.tiles.plan import plan_slide


def main(folder: Path, names: list[str]) -> None:
    for name in names or sorted(path.name for path in folder.iterdir()):
        tell({"begin": name})
        since = time.perf_counter()
        result = outcome(folder / name)
        peak_mb = peak()
        tell({"name": name, **result, "seconds": time.perf_counter() - since, "peak_mb": peak_mb})


def peak() -> int:
    """Most memory so far, MB; 0 where the system does not say. Not `ru_maxrss`, which counts the parent's before the child began."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) // 1024 for line in lines if line.startswith("VmHWM")), 0)


def tell(said: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(said) + "\n")
    sys.stdout.flush()


def outcome(path: Path) -> dict[str, object]:
    config = TilesConfig(slides=(path.name,), mpp=0.25, tile_px=64, slide_mpp=0.25)
    unread = []
    try:
        with closing(open_slide(path)) as slide:
            plan = plan_slide(slide, SlideEntry(path.stem, path, patient="A"), config)
            verdicts = Counter(cell.verdict for cell, _ in cut_slide(slide, plan, config, unread=unread))
            return {"reader": slide.reader, "verdicts": verdicts, "unread": [f"{note.part} {note.what}" for note in unread]}
    except BadInput as error:
        return {"refused": str(error), "remedy": error.remedy}


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
