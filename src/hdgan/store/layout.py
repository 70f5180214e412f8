"""Where the stages of a run lie: `runs/<name>/1-tiles` to `9-downstream`."""

from __future__ import annotations

from pathlib import Path

from hdgan.errors import BadConfig

STAGES = ("tiles", "generator", "samples", "annotations", "features", "classifier", "evaluation", "dataset", "downstream")
"""The stages that write, in their order."""


class RunFolder:
    """The folder of one run."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def folder(self, stage: str) -> Path:
        """The folder of `stage`.

        Raises:
            BadConfig: there is no such stage.
        """
        if stage not in STAGES:
            raise BadConfig(self.root, f"no stage {stage!r}", f"stages are {', '.join(STAGES)}")
        return self.root / f"{STAGES.index(stage) + 1}-{stage}"
