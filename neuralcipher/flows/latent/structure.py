"""Which frame is coded when, and from which: groups of frames, each a hierarchy of references.

A group ends with its anchor. A key anchor stands alone; another anchor is predicted from the anchors before it, and
the frames before it, halving by halving, from the two nearest frames on either side that are already there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

MAX_GROUP = 64
LEVELS = 6
KEY_LEVEL, ANCHOR_LEVEL = 0, 1
_KEY_BIT = 0x80


@dataclass(frozen=True, slots=True)
class CodedFrame:
    """One frame's place: index in the segment, level 0..5, and the frames it is predicted from (-1: none)."""

    index: int
    level: int
    first: int = -1
    second: int = -1


@dataclass(frozen=True, slots=True)
class Group:
    """Frames start..stop-1 and their batches: frames of one batch do not refer to each other.

    keep: frames up to here that later groups are predicted from; all others may be forgotten after this group.
    """

    start: int
    stop: int
    batches: tuple[tuple[CodedFrame, ...], ...]
    keep: frozenset[int] = frozenset()

    @property
    def is_key(self) -> bool:
        """Whether the group is a key frame alone."""
        return self.batches[0][0].level == KEY_LEVEL

    def references(self) -> set[int]:
        """Every frame that some frame of this group is predicted from."""
        return {i for batch in self.batches for frame in batch for i in (frame.first, frame.second) if i >= 0}


def group_bytes(lengths: Iterable[int], keys: Iterable[bool]) -> bytes:
    """One byte a group: its length 1..64, plus 128 for a key."""
    return bytes(length | (_KEY_BIT if key else 0) for length, key in zip(lengths, keys, strict=True))


def is_valid(data: bytes) -> bool:
    """Whether `groups` can read the bytes: lengths 1..64, keys of length 1, the first group a key."""
    lengths_fit = all(1 <= (byte & ~_KEY_BIT) <= (1 if byte & _KEY_BIT else MAX_GROUP) for byte in data)
    return bool(data) and lengths_fit and data[0] == (1 | _KEY_BIT)


def count_frames(data: bytes) -> int:
    """How many frames the groups have together."""
    return sum(byte & ~_KEY_BIT for byte in data)


def longest_group(data: bytes) -> int:
    """Frames of the longest group."""
    return max(byte & ~_KEY_BIT for byte in data)


def groups(data: bytes) -> list[Group]:
    """The plan that valid bytes stand for."""
    plan, start = [], 0
    anchors: list[int] = []
    for byte in data:
        stop = start + (byte & ~_KEY_BIT)
        if byte & _KEY_BIT:
            anchors = [start]
            plan.append(Group(start, stop, ((CodedFrame(start, KEY_LEVEL),),)))
        else:
            plan.append(Group(start, stop, _batches(anchors, stop - 1)))
            anchors = [anchors[-1], stop - 1]
        start = stop
    needed: frozenset[int] = frozenset()
    for number, group in reversed(list(enumerate(plan))):
        plan[number] = replace(group, keep=needed)
        needed = frozenset(i for i in needed | group.references() if i < group.start)
    return plan


def _batches(anchors: Sequence[int], anchor: int) -> tuple[tuple[CodedFrame, ...], ...]:
    before = anchors[-1]
    batches: list[tuple[CodedFrame, ...]] = [(CodedFrame(anchor, ANCHOR_LEVEL, before, anchors[0]),)]
    gaps = [(before, anchor)]
    level = ANCHOR_LEVEL
    while gaps := [gap for gap in gaps if gap[1] - gap[0] > 1]:
        level = min(level + 1, LEVELS - 1)
        middles = [(low + high) // 2 for low, high in gaps]
        batches.append(tuple(CodedFrame(m, level, low, high) for m, (low, high) in zip(middles, gaps, strict=True)))
        gaps = [half for m, (low, high) in zip(middles, gaps, strict=True) for half in ((low, m), (m, high))]
    return tuple(batches)
