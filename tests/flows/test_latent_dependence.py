"""What depends on a block, against counts made by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from neuralcipher.flows.latent.dependence import Link, dependence
from neuralcipher.flows.latent.history import FrameLatents
from neuralcipher.flows.latent.motion import BOTH, FIRST, NEITHER, SECOND, Motion
from neuralcipher.flows.latent.structure import CodedFrame, group_bytes, groups

KEY = CodedFrame(0, 0)
ANCHOR = CodedFrame(2, 1, 0, 0)
MIDDLE = CodedFrame(1, 2, 0, 2)
SIZE = 2, 4


def link(frame: CodedFrame, mode: int = NEITHER, right: int = 0, coded: Sequence[int] = (0, 0, 0)) -> Link:
    """A frame all of whose blocks move alike, with so many coefficients of each colour in each."""
    latents = np.zeros((3, 64, *SIZE), dtype=np.int16)
    for colour, count in enumerate(coded):
        latents[colour, :count] = -1
    vectors = np.zeros((2, 2, *SIZE), dtype=np.int64)
    vectors[:, 1] = right
    motion = Motion(np.full(SIZE, mode), vectors, np.zeros((1, 2), dtype=np.int64))
    return Link.of(FrameLatents(frame, motion, latents))


def ratios(*links: Link) -> dict[int, NDArray[np.float64]]:
    """Counts beside those of the frame that comes last, on which nothing depends."""
    found = dependence(links)
    return {index: count / found[links[-1].frame.index] for index, count in found.items()}


def test_counts_are_relative_to_the_anchors() -> None:
    found = dependence([link(KEY), link(ANCHOR, FIRST)])
    assert found[0] == pytest.approx(np.full(SIZE, math.sqrt(2)))
    assert found[2] == pytest.approx(np.full(SIZE, math.sqrt(0.5)))


def test_a_frame_hands_on_what_depends_on_it() -> None:
    found = ratios(link(KEY), link(ANCHOR, FIRST), link(MIDDLE, SECOND))
    assert found[2] == pytest.approx(np.full(SIZE, 2.0))
    assert found[0] == pytest.approx(np.full(SIZE, 3.0))


def test_two_references_share() -> None:
    found = ratios(link(KEY), link(ANCHOR), link(MIDDLE, BOTH))
    assert found[0] == pytest.approx(np.full(SIZE, 1.5))
    assert found[2] == pytest.approx(np.full(SIZE, 1.5))


def test_what_is_not_predicted_hands_on_nothing() -> None:
    assert ratios(link(KEY), link(ANCHOR, NEITHER))[0] == pytest.approx(np.ones(SIZE))


def test_what_is_coded_anew_hands_on_less() -> None:
    found = ratios(link(KEY), link(ANCHOR, FIRST, coded=(1, 2, 0)))
    assert found[0] == pytest.approx(np.full(SIZE, 1 + math.exp(-1.4)))


def test_motion_says_to_which_blocks() -> None:
    whole = ratios(link(KEY), link(ANCHOR, FIRST, right=32))
    assert whole[0][0].tolist() == pytest.approx([1, 2, 2, 3])  # what points beyond the edge finds the edge
    quarter = ratios(link(KEY), link(ANCHOR, FIRST, right=8))
    assert quarter[0][0].tolist() == pytest.approx([1.75, 2, 2, 2.25])


@given(st.integers(0, 2**32 - 1), st.integers(1, 16), st.integers(1, 3))
def test_nothing_is_lost_on_the_way(seed: int, length: int, anchors: int) -> None:
    """With any motion: the counts add up to the blocks and, for each, all the blocks that it came from."""
    draw = np.random.default_rng(seed)
    links, passed = [], {}
    for group in groups(group_bytes([1] + [length] * anchors, [True] + [False] * anchors)):
        for frame in (frame for batch in group.batches for frame in batch):
            mode = draw.integers(0, 4, SIZE)
            motion = Motion(mode, draw.integers(-200, 200, (2, 2, *SIZE)), np.zeros((1, 2), dtype=np.int64))
            links.append(Link(frame, motion, draw.random(SIZE)))
    found = dependence(links)
    one = found[links[-1].frame.index].min()
    for each in links:
        passed[each.frame.index] = (
            found[each.frame.index] / one * each.inherited * (each.motion.mode != NEITHER)
        ).sum()
    total = sum(count.sum() for count in found.values()) / one
    handed = sum(passed[each.frame.index] for each in links if each.frame.level)
    assert total == pytest.approx(len(links) * 8 + handed)
