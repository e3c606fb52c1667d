"""Plans of groups: any valid one codes every frame once, each after what it is predicted from."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from neuralcipher.flows.latent.structure import (
    ANCHOR_LEVEL,
    KEY_LEVEL,
    LEVELS,
    MAX_GROUP,
    CodedFrame,
    count_frames,
    group_bytes,
    groups,
    is_valid,
)

KEY = 0x81
plans = st.lists(st.just(KEY) | st.integers(1, MAX_GROUP), max_size=12).map(lambda rest: bytes([KEY, *rest]))


@given(plans)
@example(bytes([KEY, 64, 64, KEY, 1, 64]))
def test_every_frame_is_coded_once_and_after_its_references(plan: bytes) -> None:
    assert is_valid(plan)
    done: dict[int, int] = {}  # frame: level
    key = 0
    for group in groups(plan):
        if group.is_key:
            key = group.start
        inside = []
        for batch in group.batches:
            assert len({frame.level for frame in batch}) == 1
            for frame in batch:
                assert group.start <= frame.index < group.stop
                assert frame.index not in done
                if frame.level == KEY_LEVEL:
                    assert (frame.first, frame.second) == (-1, -1)
                    continue
                assert 0 < frame.level < LEVELS
                # no reference lies before the last key frame: there an opener may begin
                assert {frame.first, frame.second} <= done.keys() | set(inside)
                assert key <= min(frame.first, frame.second)
                if frame.level == ANCHOR_LEVEL:
                    assert frame.index == group.stop - 1
                    assert frame.second <= frame.first < frame.index
                else:
                    assert frame.first < frame.index < frame.second
            inside += [frame.index for frame in batch]
            done |= {frame.index: frame.level for frame in batch}
        assert sorted(inside) == list(range(group.start, group.stop))
        assert group.references() == {
            i for batch in group.batches for frame in batch for i in (frame.first, frame.second) if i >= 0
        }
    assert sorted(done) == list(range(count_frames(plan)))


@given(plans)
def test_frames_between_anchors_are_predicted_from_the_nearest(plan: bytes) -> None:
    """Of all that were coded in earlier batches, nothing lies between a frame and its references."""
    for group in groups(plan):
        known: set[int] = {group.start - 1}
        for batch in group.batches:
            for frame in batch:
                if frame.level > ANCHOR_LEVEL:
                    between = range(frame.first + 1, frame.second)
                    assert not known & set(between)
            known |= {frame.index for frame in batch}


def test_a_group_of_four_by_hand() -> None:
    key, four, one = groups(bytes([KEY, 4, 1]))
    assert key.batches == ((CodedFrame(0, 0),),)
    assert four.batches == (
        (CodedFrame(4, 1, 0, 0),),
        (CodedFrame(2, 2, 0, 4),),
        (CodedFrame(1, 3, 0, 2), CodedFrame(3, 3, 2, 4)),
    )
    assert one.batches == ((CodedFrame(5, 1, 4, 0),),)
    assert four.references() == {0, 2, 4}
    assert [group.is_key for group in (key, four, one)] == [True, False, False]


def test_the_longest_group_uses_every_level() -> None:
    group = groups(bytes([KEY, 64]))[1]
    assert [len(batch) for batch in group.batches] == [1, 1, 2, 4, 8, 16, 32]
    assert [batch[0].level for batch in group.batches] == [1, 2, 3, 4, 5, 5, 5]


@given(plans)
def test_bytes_are_lengths_and_keys(plan: bytes) -> None:
    found = groups(plan)
    assert group_bytes([g.stop - g.start for g in found], [g.is_key for g in found]) == plan


def written_out(data: bytes) -> bool:
    """The rule: bytes 1..64 or 129, 129 first."""
    allowed = {*range(1, 65), 129}
    return len(data) > 0 and data[0] == 129 and set(data) <= allowed


@given(st.binary(max_size=6) | plans)
def test_what_is_valid(data: bytes) -> None:
    assert is_valid(data) == written_out(data)


def test_what_is_valid_of_all_short_plans() -> None:
    assert not is_valid(b"")
    for first in range(256):
        assert is_valid(bytes([first])) == (first == KEY)
    for second, third in itertools.product(range(256), (1, KEY)):
        assert is_valid(bytes([KEY, second, third])) == (second == KEY or 1 <= second <= MAX_GROUP)


@pytest.mark.parametrize("data", [b"\x82", b"\x01", b"\x81\x00", b"\x81\x41", b"\x81\x80", b"\x81\xff", b"\x40\x81"])
def test_what_is_not(data: bytes) -> None:
    assert not is_valid(data)
