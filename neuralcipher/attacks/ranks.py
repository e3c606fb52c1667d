"""Tests by ranks and relabelling, valid for any distribution, and what to do about testing many times."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

_DRAWS_AT_ONCE = 1000


def doubled_midranks(values: FloatArray) -> IntArray:
    """Twice the rank of each value along the first axis, 2 for the least; equal values share the mean of theirs."""
    below = (values[:, None] > values[None]).sum(axis=1)
    not_above = (values[:, None] >= values[None]).sum(axis=1)
    return np.asarray(below + not_above + 1, dtype=np.int64)


def preference(ranks: IntArray, chosen: NDArray[np.bool_]) -> float:
    """Chance that a chosen value is above one that is not, ties counting half, from doubled midranks; 0..1."""
    count = int(chosen.sum())
    return float(ranks[chosen].sum() - count * (count + 1)) / (2 * count * (len(ranks) - count))


def rank_sum(first: Sequence[float], second: Sequence[float]) -> tuple[float, float]:
    """(`preference` of the first over the second, exact one-sided p-value of a preference at least so large).

    The p-value is the share of all ways to choose len(first) of the pooled values, ties included.
    Source: Wilcoxon, Individual comparisons by ranking methods (1945).
    """
    count, total = len(first), len(first) + len(second)
    ranks = doubled_midranks(np.array([*first, *second], dtype=np.float64))
    observed = int(ranks[:count].sum())
    ordered = np.sort(ranks)
    # chance[k, s]: of having chosen k of the values so far, of ranks that add up to s.
    chance = np.zeros((count + 1, int(ordered[-count:].sum()) + 1))
    chance[0, 0] = 1
    for seen, rank in enumerate(ordered):
        reached = int(ordered[max(0, seen + 1 - count) : seen + 1].sum()) + 1
        for k in range(min(count, seen + 1), -1, -1):
            here = chance[k, :reached]
            here *= 1 - min(1.0, (count - k) / (total - seen))
            if k and rank < reached:
                here[rank:] += chance[k - 1, : reached - rank] * min(1.0, (count - k + 1) / (total - seen))
    p_value = min(1.0, float(chance[count, observed:].sum()))
    return preference(ranks, np.arange(total) < count), p_value


def relabelling_p_value(
    values: FloatArray, labels: IntArray, blocks: IntArray, *, draws: int = 19_999, seed: int = 0
) -> float:
    """One-sided p-value of the sum of values[j, labels[j]], when labels may be exchanged within each block.

    values: (J, L). labels, blocks: (J,). The observed labels count as one draw more, so the test is exact at any
    number of draws, and the least p-value is 1 / (draws + 1).
    Source: Phipson & Smyth, Permutation p-values should never be zero (2010).
    """
    draw = np.random.default_rng(seed)
    items = np.arange(len(labels))
    members = [np.flatnonzero(blocks == block) for block in np.unique(blocks)]
    observed = values[items, labels].sum() - 1e-9  # sums in another order differ in the last bits
    exceeded = 0
    for start in range(0, draws, _DRAWS_AT_ONCE):
        shuffled = np.tile(labels, (min(_DRAWS_AT_ONCE, draws - start), 1))
        for member in members:
            shuffled[:, member] = draw.permuted(shuffled[:, member], axis=1)
        exceeded += int((values[items, shuffled].sum(axis=1) >= observed).sum())
    return (1 + exceeded) / (1 + draws)


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values adjusted for their number, in the same order: those of at most alpha are rejected at level alpha.

    Source: Holm, A simple sequentially rejective multiple test procedure (1979).
    """
    adjusted, worst = [0.0] * len(p_values), 0.0
    for place, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        worst = max(worst, min(1.0, (len(p_values) - place) * p_values[index]))
        adjusted[index] = worst
    return adjusted
