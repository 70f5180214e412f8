"""Which annotated images train, which stop the training, which are only ever measured.

The split is a function of the names, the masks' classes, the sizes and the seed. A rare class is laid first into the training part, then
into the test part, then into the validation part, as far as there are images of it; what is left of it is dealt by the parts' sizes, the
rarest class first (iterative stratification, Sechidis et al. 2011); all else is a seeded shuffle. (Sixteen images out of thirty-six, drawn
blindly, miss a class that three of them show in one draw of six, and have one alone of six images in one draw of eight.)

Images that were drawn at random are no matter of this choice: they are a fourth part and in none of the others. Nor are images that a model
suggested (`suggestions`): they train, beside the images that the training part is asked to have, and move no other image.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Container, Mapping, Sequence
from typing import Literal, TypeAlias

from hdgan.errors import BadInput
from hdgan.randomness import stream

Part: TypeAlias = Literal["train", "validate", "test", "random"]
PARTS: tuple[Part, ...] = ("train", "validate", "test")
"""Of the samples that were chosen for variety."""
RANDOM: Part = "random"
"""Samples drawn at random, measured apart; a split has this part only where it was asked for."""
Split: TypeAlias = dict[Part, tuple[str, ...]]

_FIRST_SERVED: tuple[Part, ...] = ("train", "test", "validate")

_FEWER = "annotate more, or set annotations.train, annotations.validate and annotations.test smaller"


def split_names(
    present: Mapping[str, frozenset[int]],
    *,
    sizes: Mapping[Part, int],
    seed: int,
    at_random: Sequence[str] = (),
    num_random: int = 0,
    only_train: Collection[str] = (),
) -> Split:
    """The names of `present` in three parts of `sizes`, each part sorted; names beyond the sum of the sizes are in none.

    `present` gives the classes that occur in each name's mask. The order of its names does not matter. With `num_random` the first that many of
    `at_random` that are in `present` are a fourth part, and none of `at_random` is in the three. Those of `only_train` are in the training part
    beyond its size.

    Raises:
        BadInput: there are fewer names than the sizes ask for.
    """
    drawn = [name for name in at_random if name in present] if num_random else []
    if len(drawn) < num_random:
        what = f"{len(drawn)} of the samples that were drawn at random are annotated, annotations.random_test asks for {num_random}"
        raise BadInput("masks", what, "annotate those that shortlist.json names (samples.random draws them), or set it smaller")
    also = sorted(present.keys() & set(only_train) - set(drawn))
    names = sorted(present.keys() - set(drawn) - set(also))
    wanted = sum(sizes[part] for part in PARTS)
    if len(names) < wanted:
        asked = "/".join(str(sizes[part]) for part in PARTS)
        kinds = [kind for kind, held in (("drawn at random", drawn), ("suggested by hdgan", also)) if held]
        beside = f" beside those {' and '.join(kinds)}" if kinds else ""
        raise BadInput("masks", f"{len(names)} found{beside}, a split {asked} needs {wanted}", _FEWER)
    queue = [names[i] for i in stream(seed, "annotations.split").permutation(len(names))]
    chosen: dict[Part, list[str]] = {part: [] for part in PARTS}
    for part in _FIRST_SERVED:
        for name in _covering(queue, present, most=sizes[part]):
            chosen[part].append(name)
            queue.remove(name)
    _deal(queue, chosen, present={name: present[name] for name in names}, sizes=sizes)
    chosen["train"] += also
    split: Split = {part: tuple(sorted(chosen[part])) for part in PARTS}
    return split | {RANDOM: tuple(sorted(drawn[:num_random]))} if num_random else split


def missing_classes(present: Mapping[str, frozenset[int]], split: Split, *, num_classes: int) -> dict[Part, tuple[int, ...]]:
    """For each part the classes that no mask in it shows."""
    found = {part: frozenset[int]().union(*(present[name] for name in split[part])) for part in parts_of(split)}
    return {part: tuple(value for value in range(num_classes) if value not in found[part]) for part in found}


def parts_of(split: Container[object]) -> tuple[Part, ...]:
    """The parts of a split in their order: three, and the random one where there is one."""
    return (*PARTS, RANDOM) if RANDOM in split else PARTS


def _deal(
    queue: Sequence[str], chosen: Mapping[Part, list[str]], *, present: Mapping[str, frozenset[int]], sizes: Mapping[Part, int]
) -> None:
    """Fills the parts from the queue, the rarest class first: each name goes where its rarest class lacks most of what the size of the part is worth.

    `present` are all names that are dealt, those that are in a part already too.
    """
    frequency = Counter(value for classes in present.values() for value in classes)
    total = sum(sizes[part] for part in PARTS)

    def rarest(name: str) -> int | None:
        return min(present[name], key=lambda value: (frequency[value], value), default=None)

    def lacks(part: Part, value: int | None) -> float:
        if value is None:
            return 0.0
        return frequency[value] * sizes[part] / total - sum(value in present[name] for name in chosen[part])

    for name in sorted(queue, key=lambda name: frequency[found] if (found := rarest(name)) is not None else len(present)):
        room = {part: sizes[part] - len(chosen[part]) for part in PARTS}
        if not any(room.values()):
            return
        value = rarest(name)
        chosen[max((part for part in PARTS if room[part]), key=lambda part: (lacks(part, value), room[part]))].append(name)


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
