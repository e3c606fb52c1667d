"""How large a level is that is not zero: 1 or above; above, a run of "one more"; and plain bits behind a long run.

The probabilities come as integer logits. A run has one logit for all its steps, so that it is one symbol of a
geometric law; that logit is kept within bounds, since what no video showed in training must not become impossible.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from neuralcipher.coding.bits import BitChannel, code_plain, cost_bits, probabilities
from neuralcipher.coding.entropy import ONE, IntArray

LONGEST_RUN = 14
_RUN_LOGIT = 512
_RUN_GRID = 32  # logits of runs are rounded to it
_TAIL_BITS, _TAILS = 3, 11  # tail t holds the next 8 << t levels
LARGEST = 1 + LONGEST_RUN + (1 << _TAIL_BITS) * ((1 << _TAILS) - 1)
_FIRST = 2 + LONGEST_RUN + (1 << _TAIL_BITS) * ((1 << np.arange(_TAILS)) - 1)  # level of each tail
_TAIL_TABLE = 1 << np.arange(_TAILS - 1, -1, -1)[None]


@lru_cache(maxsize=1)
def _run_table() -> IntArray:
    """(logits, LONGEST_RUN + 1) counts of the geometric laws, by integer arithmetic alone."""
    more = probabilities(np.arange(-_RUN_LOGIT, _RUN_LOGIT + 1, _RUN_GRID))
    left, columns = np.full(len(more), 1 << 30), []
    for _ in range(LONGEST_RUN):
        columns.append(np.maximum(1, left * (ONE - more) // ONE))
        left = left * more // ONE
    return np.stack([*columns, np.maximum(1, left)], axis=1)


def _run_row(logits: IntArray) -> IntArray:
    row: IntArray = (np.minimum(np.maximum(logits, -_RUN_LOGIT), _RUN_LOGIT) + _RUN_LOGIT + _RUN_GRID // 2) // _RUN_GRID
    return row


def code_sizes(channel: BitChannel, above: IntArray, more: IntArray, sizes: IntArray | None) -> IntArray:
    """Code sizes (n,) in 1..LARGEST under logits of being above one, and of one more; returns them."""
    known = None if sizes is None else np.minimum(sizes, LARGEST)
    large = channel.code(probabilities(above), None if known is None else (known > 1).astype(np.int64))
    found = 1 + large
    at = np.flatnonzero(large)
    if not at.size:
        return found
    asked = None if known is None else np.minimum(known[at] - 2, LONGEST_RUN)
    run = channel.code_symbols(_run_row(more[at]), _run_table(), asked)
    found[at] += run
    at = at[run == LONGEST_RUN]
    if not at.size:
        return found
    given = None if known is None else known[at]
    tail = None if given is None else np.searchsorted(_FIRST, given, side="right") - 1
    tail = channel.code_symbols(np.zeros_like(at), _TAIL_TABLE, tail)
    found[at] = _FIRST[tail] + code_plain(channel, _TAIL_BITS + tail, None if given is None else given - _FIRST[tail])
    return found


def size_bits(above: IntArray, more: IntArray, sizes: IntArray) -> NDArray[np.float32]:
    """Code lengths of sizes in bits, for the encoder's choices only; sizes below 1 cost what 1 does."""
    one, two = cost_bits(above)
    run = np.clip(sizes - 2, 0, LONGEST_RUN)
    tail = np.maximum(np.searchsorted(_FIRST, sizes, side="right") - 1, 0)
    plain = np.where(run == LONGEST_RUN, np.minimum(tail + 1, _TAILS - 1) + _TAIL_BITS + tail, 0)
    bits: NDArray[np.float32] = np.where(sizes > 1, two + _run_costs()[_run_row(more), run] + plain, one)
    return bits


@lru_cache(maxsize=1)
def _run_costs() -> NDArray[np.float32]:
    table = _run_table()
    costs: NDArray[np.float32] = np.log2(table.sum(axis=1, keepdims=True) / table).astype(np.float32)
    return costs
