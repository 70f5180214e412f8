"""Groups dealt into folds so that every stratum is spread evenly, as a seeded local search without a solver.

The cost of a deal is the sum over strata s and folds f of w_s (n_sf / n_s - 1/k)^2: n_sf is what of stratum s lies in fold f, n_s all of
it, k the number of folds, w_s a weight. Groups are first dealt greedily, largest first, each to the fold where it costs least; then single
groups are moved and pairs of groups swapped while the cost falls; then, in rounds, a few random pairs are swapped and the descent repeated,
and a round counts if it ends lower (iterated local search, Lourenco, Martin and Stutzle 2003). Where there are many groups a group is
compared with a random sample of the others, and there are fewer rounds: large cohorts balance themselves.

Axes: G groups, S strata, K folds. Shares are rounded up to whole numbers below 2^25, so that every sum and product below is an exact
integer in float64: equal seeds give equal folds on every machine, whatever its matrix library.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hdgan.randomness import stream

_UNIT = 2.0**24
"""What a share of 1 and a weight of 1 become; products of two such sums stay below 2^53."""
_ALL_PARTNERS = 200
"""Up to this many groups each is tried to be swapped with all others ..."""
_PARTNERS = 64
"""... and above with a sample of this many."""
_MAX_SWEEPS = 30
_LEAST_GAIN = 1e-4
"""A sweep over the groups that lowers the cost by a smaller share than this is the last."""
_ROUNDS_FOR_ONE = 5_000
"""Rounds are this over the number of groups ..."""
_MAX_ROUNDS = 50
"""... and at most this."""


@dataclass
class _Deal:
    """A deal under work."""

    folds: np.ndarray
    """intp `[G]`; -1 where not yet dealt."""
    excess: np.ndarray
    """`[K, S]`: what each fold has above an even share, weighted, in whole units."""

    @property
    def cost(self) -> float:
        return float((self.excess**2).sum())

    def copy(self) -> _Deal:
        return _Deal(self.folds.copy(), self.excess.copy())


def deal(counts: np.ndarray, weights: np.ndarray, *, num_folds: int, seed: int) -> np.ndarray:
    """The fold of each group, intp `[G]` in 0 to `num_folds` - 1.

    `counts` (`[G, S]`, not negative) says how much of each stratum a group holds, and `weights` (`[S]`, positive) how much the stratum
    counts; the first stratum must hold something of every group. With at least `num_folds` groups no fold is empty; with fewer the last
    folds are. `seed` decides among equals, and where the search goes.
    """
    if not len(counts):
        return np.zeros(0, np.intp)
    if not (counts[:, 0] > 0).all():
        raise ValueError("the first stratum must hold something of every group")
    if num_folds == 1 or len(counts) == 1:  # numpy's random numbers take as long to import as a small slide's pages to make
        return np.zeros(len(counts), np.intp)
    shares = _in_units(counts, weights)
    random = stream(seed, "tiles.folds")
    best = _greedy(shares, num_folds, order=_largest_first(shares, random.permutation(len(shares))))
    _descend(best, shares, random)
    if len(shares) > num_folds > 1:
        for _ in range(min(_MAX_ROUNDS, _ROUNDS_FOR_ONE // len(shares))):
            other = best.copy()
            _kick(other, shares, random)
            _descend(other, shares, random)
            if other.cost < best.cost:
                best = other
    return best.folds


def deviations(counts: np.ndarray, folds: np.ndarray, *, num_folds: int) -> np.ndarray:
    """How far the share of each stratum in each fold is from an even one, float64 `[S, K]` in -1 to 1.

    `counts` is `[G, S]`, `folds` `[G]`; a stratum of nothing deviates by nothing.
    """
    inside = np.stack([counts[folds == fold].sum(axis=0) for fold in range(num_folds)], axis=1).astype(np.float64)
    whole = inside.sum(axis=1, keepdims=True)
    return np.asarray(np.where(whole > 0, inside / np.maximum(whole, 1) - 1 / num_folds, 0.0))


def _in_units(counts: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weighted shares `[G, S]`, whole numbers. Rounded up: a group that is a small part of a large cohort still counts."""
    whole = counts.sum(axis=0)
    scale = np.sqrt(weights / weights.sum()) / np.maximum(whole, 1)
    return np.asarray(np.ceil(counts * scale * _UNIT))


def _largest_first(shares: np.ndarray, shuffled: np.ndarray) -> np.ndarray:
    return np.lexsort((shuffled, -(shares**2).sum(axis=1)))


def _greedy(shares: np.ndarray, num_folds: int, *, order: np.ndarray) -> _Deal:
    even = np.floor(shares.sum(axis=0) / num_folds + 0.5)
    found = _Deal(np.full(len(shares), -1, np.intp), np.tile(-even, (num_folds, 1)))
    for i in order:
        fold = int(np.argmin(found.excess @ shares[i]))  # the cost rises by |x|^2 + 2 x . excess; an empty fold always has the least
        found.folds[i] = fold
        found.excess[fold] += shares[i]
    return found


def _descend(found: _Deal, shares: np.ndarray, random: np.random.Generator) -> None:
    """Moves and swaps, in place, the best of each group in turn, until they hardly lower the cost."""
    num_groups, num_folds = len(shares), len(found.excess)
    squares = (shares**2).sum(axis=1)
    sizes = np.bincount(found.folds, minlength=num_folds)
    for _ in range(_MAX_SWEEPS):
        before = found.cost
        for i in random.permutation(num_groups):
            here, x = found.folds[i], shares[i]
            along = found.excess @ x
            moved = along - along[here] + squares[i]  # half of what the cost changes by, for each fold
            moved[here] = 0.0
            to = int(np.argmin(moved)) if sizes[here] > 1 else here  # no fold is emptied
            partners = np.arange(num_groups) if num_groups <= _ALL_PARTNERS else random.integers(num_groups, size=_PARTNERS)
            swapped = _swap_costs(found, shares, squares, i, along, partners)
            j = int(np.argmin(swapped))
            if min(moved[to], swapped[j]) >= 0:
                continue
            if moved[to] <= swapped[j]:
                _move(found, shares, i, to)
                sizes[here] -= 1
                sizes[to] += 1
            else:
                _swap(found, shares, i, int(partners[j]))
        if found.cost >= before * (1 - _LEAST_GAIN):
            return


def _swap_costs(found: _Deal, shares: np.ndarray, squares: np.ndarray, i: int, along: np.ndarray, partners: np.ndarray) -> np.ndarray:
    """Half of what the cost changes by when group `i` and each partner change places, `[partners]`: with y = x_j - x_i, which enters the
    fold of i and leaves that of j, |y|^2 + y . (excess_i - excess_j). Not below 0 within one fold.
    """
    here, there = found.folds[i], found.folds[partners]
    products = shares[partners] @ np.concatenate([found.excess, shares[i : i + 1]]).T
    rows = np.arange(len(partners))
    between = squares[partners] + squares[i] - 2 * products[:, -1]
    change = between + products[:, here] - products[rows, there] - along[here] + along[there]
    return np.where(there == here, 0.0, change)


def _kick(found: _Deal, shares: np.ndarray, random: np.random.Generator) -> None:
    """A few pairs of different folds change places, in place."""
    num_pairs = max(2, len(shares) // 25)
    for i, j in random.integers(len(shares), size=(num_pairs, 2)):
        if found.folds[i] != found.folds[j]:
            _swap(found, shares, int(i), int(j))


def _move(found: _Deal, shares: np.ndarray, i: int, to: int) -> None:
    found.excess[found.folds[i]] -= shares[i]
    found.excess[to] += shares[i]
    found.folds[i] = to


def _swap(found: _Deal, shares: np.ndarray, i: int, j: int) -> None:
    to_i, to_j = int(found.folds[j]), int(found.folds[i])
    _move(found, shares, i, to_i)
    _move(found, shares, j, to_j)
