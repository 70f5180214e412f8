"""Which annotated images train, which stop the training, which are only ever measured.

The split is a function of the names, the masks' classes, the sizes and the seed. A rare class is laid first into the training part, then
into the test part, then into the validation part, as far as there are images of it; all else is a seeded shuffle. (Sixteen images out of
thirty-six, drawn blindly, miss a class that three of them show in one draw of six.)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Literal, TypeAlias

from hdgan.errors import BadInput
from hdgan.randomness import stream

Part: TypeAlias = Literal["train", "validate", "test"]
PARTS: tuple[Part, ...] = ("train", "validate", "test")
Split: TypeAlias = dict[Part, tuple[str, ...]]

_FIRST_SERVED: tuple[Part, ...] = ("train", "test", "validate")


def split_names(present: Mapping[str, frozenset[int]], *, sizes: Mapping[Part, int], seed: int) -> Split:
    """The names of `present` in three parts of `sizes`, each part sorted; names beyond the sum of the sizes are in none.

    `present` gives the classes that occur in each name's mask. The order of its names does not matter.

    Raises:
        BadInput: there are fewer names than the sizes ask for.
    """
    wanted = sum(sizes[part] for part in PARTS)
    if len(present) < wanted:
        asked = "/".join(str(sizes[part]) for part in PARTS)
        raise BadInput("masks", f"{len(present)} found, a split {asked} needs {wanted}", "draw more, or set smaller sizes")
    names = sorted(present)
    queue = [names[i] for i in stream(seed, "annotations.split").permutation(len(names))]
    chosen: dict[Part, list[str]] = {part: [] for part in PARTS}
    for part in _FIRST_SERVED:
        for name in _covering(queue, present, most=sizes[part]):
            chosen[part].append(name)
            queue.remove(name)
    for part in PARTS:
        missing = sizes[part] - len(chosen[part])
        chosen[part] += queue[:missing]
        del queue[:missing]
    return {part: tuple(sorted(chosen[part])) for part in PARTS}


def missing_classes(present: Mapping[str, frozenset[int]], split: Split, *, num_classes: int) -> dict[Part, tuple[int, ...]]:
    """For each part the classes that no mask in it shows."""
    found = {part: frozenset[int]().union(*(present[name] for name in split[part])) for part in PARTS}
    return {part: tuple(value for value in range(num_classes) if value not in found[part]) for part in PARTS}


def _covering(queue: Sequence[str], present: Mapping[str, frozenset[int]], *, most: int) -> list[str]:
    """At most `most` names in which every class of the queue occurs where possible: for the rarest uncovered class the first name with it.

    A name that would take the last image of another class away from the other parts comes after those that do not.
    """
    left = {name: present[name] for name in queue}
    frequency = Counter(value for classes in left.values() for value in classes)
    covered: set[int] = set()
    taken: list[str] = []
    for value in sorted(frequency, key=lambda value: (frequency[value], value)):
        if value in covered or len(taken) == most:
            continue
        remaining = Counter(other for classes in left.values() for other in classes)
        with_it = [name for name in left if value in left[name]]
        name = min(with_it, key=lambda name: sum(remaining[other] == 1 for other in left[name]))
        covered |= left.pop(name)
        taken.append(name)
    return taken
