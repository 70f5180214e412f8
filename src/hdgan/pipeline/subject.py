"""What `hdgan quality` looks at: a run's generator and its tiles, opened, and the images of both by number.

A sample is a function of (seed, number), a crop of (seed, number) and the tiles; with a condition both are of that label alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from hdgan.errors import BadConfig
from hdgan.generator.crops import Crops, Tiles
from hdgan.generator.protocol import to_uint8
from hdgan.generator.weights import FILE, TrainedGenerator, load_generator
from hdgan.pipeline.run import SETTINGS, open_run
from hdgan.progress import SILENT, Progress, track
from hdgan.randomness import stream
from hdgan.store.archive import TileArchive
from hdgan.store.hashing import hash_bytes
from hdgan.store.layout import RunFolder
from hdgan.store.stage import MANIFEST, manifest_hash, read_manifest

FOLDER = "quality"
"""Where in the run the results lie."""
Images = Callable[[int, int], np.ndarray]
"""Images by first number and count, `[n, R, R, 3]` uint8."""
_PIXELS_AT_ONCE = 1 << 20
_BEGAN_ELSEWHERE = (
    "the training began with other weights (init_from): tiles that only those had seen are not searched for copies, and nothing says "
    "whether they had seen what is held out here"
)


@dataclass(frozen=True)
class Subject:
    """A run's generator and tiles, opened."""

    generator: TrainedGenerator
    tiles: TileArchive
    trained: list[int]
    """The training tiles."""
    compared: list[int]
    """Those of the label that was asked for; all, where none was."""
    held_out: list[int]
    """Tiles of the held-out fold, of that label as well."""
    config: dict[str, Any]
    """The generator's settings, as far as its manifest says."""
    seed: int
    condition: str | None
    inputs: dict[str, str]
    """What generator and tiles are known by."""
    remarks: tuple[str, ...] = ()
    """What must be read with the numbers."""

    @property
    def is_turned(self) -> bool:
        """Whether training crops are turned by any angle, where tiles have a margin."""
        return bool(self.config.get("is_turned", True))

    def crops(self, chosen: Sequence[int]) -> Crops:
        """Crops of the tiles numbered `chosen` as the training takes them."""
        flips, quarters = self.config.get("flips", "none"), self.config.get("is_quarter_turned", False)
        size_px = self.generator.resolution
        return Crops(
            self.tiles, chosen=chosen, size_px=size_px, seed=self.seed, is_turned=self.is_turned, flips=flips, is_quarter_turned=quarters
        )

    def plain_crops(self, tiles: Tiles, chosen: Sequence[int]) -> Crops:
        """Crops of `tiles` that hold scanned pixels only: where training crops are turned by any angle, these are by quarters."""
        flips = "both" if self.is_turned else self.config.get("flips", "none")
        quarters = self.is_turned or self.config.get("is_quarter_turned", False)
        size_px = self.generator.resolution
        return Crops(tiles, chosen=chosen, size_px=size_px, seed=self.seed, is_turned=False, flips=flips, is_quarter_turned=quarters)

    def drawing(self, *, psi: float) -> Images:
        """Samples at truncation `psi`; sample i is a function of (seed, i)."""

        def draw(first: int, num: int) -> np.ndarray:
            numbers = range(first, first + num)
            z = np.stack([stream(self.seed, "quality.z", i).standard_normal(self.generator.z_dim, dtype=np.float32) for i in numbers])
            return to_uint8(self.generator.render(self.generator.map(torch.from_numpy(z), psi=psi)))

        return draw

    def file_name(self, start: str) -> str:
        """`start`, with the condition where one was asked for; what its name cannot show of it ("CD3+", "ШИК") is told by the start of a hash."""
        if self.condition is None:
            return start
        name = slug(self.condition)
        marks = [] if name == self.condition.lower() else [hash_bytes(self.condition.encode())[:6]]
        return f"{start}.{'-'.join([name, *marks] if name else marks)}"


def open_subject(run: RunFolder, *, seed: int, condition: str | None = None) -> Subject:
    """The generator and tiles of a run; with a `condition`, that label's.

    Raises:
        BadConfig: the generator knows no such label, or does not say which tiles have it.
        BadInput: the tiles were not cut, or there are no weights.
        DamagedArtifact: the weights cannot be read.
    """
    folder = run.folder("generator")
    tiles_hash = manifest_hash(run.folder("tiles"))
    has_settings = (run.root / SETTINGS).exists()
    tiles = open_run(run.root).open_tiles() if has_settings else TileArchive(run.folder("tiles"))
    generator = load_generator(folder / FILE)
    manifest = read_manifest(folder) if (folder / MANIFEST).exists() else None
    config = {} if manifest is None else manifest.config
    fold = config.get("held_out_fold")
    trained = [i for i, row in enumerate(tiles.rows) if row.fold != fold]
    held_out = [i for i, row in enumerate(tiles.rows) if row.fold == fold]
    compared, content = trained, generator.content_hash
    remarks = [_BEGAN_ELSEWHERE] if manifest is not None and "init_from" in manifest.inputs else []
    if condition is not None:
        generator = generator.asked_for(condition)
        assert generator.conditions is not None, "asked_for refuses generators without labels"
        by = generator.conditions.by
        if not hasattr(tiles.rows[0], by):
            raise BadConfig("condition", f"the weights do not say which tiles have the label {condition!r}", "leave --condition out")
        is_fold_left_out = bool(held_out)
        compared, held_out = ([i for i in part if getattr(tiles.rows[i], by) == condition] for part in (trained, held_out))
        if not compared:
            raise BadConfig(
                "condition", f"no training tile has the {by} {condition!r}", "leave --condition out, or use the run's own tiles"
            )
        if is_fold_left_out and not held_out:
            remarks.append(f"no tile of the held-out fold has the {by} {condition!r}: it is compared with nothing; leave --condition out")
    inputs = {"generator": content, "tiles": tiles_hash}
    return Subject(generator, tiles, trained, compared, held_out, config, seed, condition, inputs, tuple(remarks))


def slug(name: str) -> str:
    """The name as part of a file's name."""
    parts = "".join(letter if letter.isascii() and letter.isalnum() else " " for letter in name).split()
    return "-".join(parts).lower()


def numbered(crops: Crops, start: int) -> Images:
    """Crops from number `start` on."""
    return lambda first, num: crops.pictures(start + first, num)


def parts(images: Images, num: int, size_px: int, label: str, progress: Progress = SILENT) -> Iterator[np.ndarray]:
    """`num` images, some at a time."""
    step = max(1, _PIXELS_AT_ONCE // size_px**2)
    firsts = range(0, num, step)
    return (images(i, min(step, num - i)) for i in track(firsts, total=len(firsts), label=label, progress=progress))
