"""Statistics as TensorBoard events: a second form of `stats.jsonl` for looking at, never read by us.

The folder is written anew from the rows so far whenever a training begins or goes on, so that a resumed one shows one line.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hdgan.optional import require


class Events:
    """An open file of events in `folder`, holding `rows` and what is added; closed by `close`.

    Raises:
        MissingExtra: TensorBoard is not installed.
    """

    def __init__(self, folder: Path, rows: Sequence[Mapping[str, Any]]) -> None:
        writer = require("torch.utils.tensorboard", extra="gan").SummaryWriter
        if folder.exists():
            shutil.rmtree(folder)
        self._writer = writer(log_dir=str(folder))
        for row in rows:
            self.add(row)

    def add(self, row: Mapping[str, Any]) -> None:
        """One point for each number of `row`, at its number of `images`; what is no number is left out."""
        for name, value in row.items():
            if name != "images" and isinstance(value, int | float):
                self._writer.add_scalar(name, value, global_step=row["images"])

    def flush(self) -> None:
        """Puts what was added on the disk."""
        self._writer.flush()

    def close(self) -> None:
        """Puts what was added on the disk and ends."""
        self._writer.close()
