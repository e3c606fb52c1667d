"""Motion of blocks: what a writer is told it wrote is what a reader finds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from neuralcipher.coding.bits import BitReader, BitWriter
from neuralcipher.coding.entropy import IntArray, MessageDecoder, MessageEncoder
from neuralcipher.flows.latent.fields import FIELD_LIMIT
from neuralcipher.flows.latent.model import EntropyModel
from neuralcipher.flows.latent.motion import BOTH, FIRST, NEITHER, SECOND, Motion, MotionCoder, expected
from neuralcipher.flows.latent.structure import CodedFrame

USES = {FIRST: (True, False), SECOND: (False, True), BOTH: (True, True), NEITHER: (False, False)}
ANCHOR = CodedFrame(9, 1, 5, 3)
LONE_ANCHOR = CodedFrame(4, 1, 0, 0)


def batch(level: int, count: int) -> list[CodedFrame]:
    """Frames that are coded at once: one anchor, or `count` of a deeper level."""
    if level == 1:
        return [ANCHOR]
    return [CodedFrame(8 * i + 4, level, 8 * i, 8 * i + 8) for i in range(count)]


def random_motion(draw: np.random.Generator, height: int, width: int, reach: int) -> Motion:
    """Any at all: blocks that differ though their square is not split, vectors of references that are not used."""
    return Motion(
        draw.integers(0, 4, (height, width)),
        draw.integers(-reach, reach + 1, (2, 2, height, width)),
        (draw.random((height // 2, width // 2)) < draw.choice([0.0, 0.3, 1.0])).astype(np.int64),
    )


def write(frames: Sequence[CodedFrame], guesses: list[IntArray], motions: list[Motion]) -> tuple[list[Motion], bytes]:
    encoder = MessageEncoder(full=True)
    coded = MotionCoder(EntropyModel(), BitWriter(encoder)).code(frames, guesses, motions)
    return coded, encoder.to_bytes()


def read(frames: Sequence[CodedFrame], guesses: list[IntArray], data: bytes) -> list[Motion]:
    return MotionCoder(EntropyModel(), BitReader(MessageDecoder(data, b"spare"))).code(frames, guesses, None)


def same(one: Motion, other: Motion) -> bool:
    pairs = (one.mode, other.mode), (one.vectors, other.vectors), (one.split, other.split)
    return all(np.array_equal(a, b) for a, b in pairs)


cases = given(
    seed=st.integers(0, 2**32 - 1),
    level=st.integers(1, 5),
    count=st.integers(1, 4),
    rows=st.integers(1, 5),
    columns=st.integers(1, 5),
    reach=st.sampled_from([0, 3, 60, 480, FIELD_LIMIT]),
    guess_reach=st.sampled_from([0, 3, 60, 480, FIELD_LIMIT]),
)


def drawn(
    seed: int, level: int, count: int, rows: int, columns: int, reach: int, guess_reach: int
) -> tuple[list[CodedFrame], list[IntArray], list[Motion]]:
    """Frames of one level, and a random guess and motion for each."""
    draw = np.random.default_rng(seed)
    frames = batch(level, count)
    grid = 2 * rows, 2 * columns
    guesses = [draw.integers(-guess_reach, guess_reach + 1, (2, 2, *grid)) for _ in frames]
    motions = [random_motion(draw, *grid, reach) for _ in frames]
    return frames, guesses, motions


@settings(max_examples=60)
@cases
def test_motion_comes_back(
    seed: int, level: int, count: int, rows: int, columns: int, reach: int, guess_reach: int
) -> None:
    frames, guesses, motions = drawn(seed, level, count, rows, columns, reach, guess_reach)
    coded, data = write(frames, guesses, motions)
    assert all(same(*pair) for pair in zip(coded, read(frames, guesses, data), strict=True))
    # what was coded is its own canonical form: coded again, it gives the same bytes
    again, same_data = write(frames, guesses, coded)
    assert all(same(*pair) for pair in zip(coded, again, strict=True))
    assert same_data == data


@settings(max_examples=60)
@cases
@example(seed=0, level=1, count=1, rows=2, columns=5, reach=FIELD_LIMIT, guess_reach=0)
@example(seed=3, level=3, count=2, rows=5, columns=5, reach=FIELD_LIMIT, guess_reach=FIELD_LIMIT)
def test_what_is_used_is_kept_exactly(
    seed: int, level: int, count: int, rows: int, columns: int, reach: int, guess_reach: int
) -> None:
    frames, guesses, motions = drawn(seed, level, count, rows, columns, reach, guess_reach)
    for asked, found in zip(motions, write(frames, guesses, motions)[0], strict=True):
        assert np.array_equal(found.split, asked.split)
        for y, x in np.ndindex(2 * rows, 2 * columns):
            # of a square that is not split, its first block counts
            b, a = (y, x) if asked.split[y // 2, x // 2] else (y // 2 * 2, x // 2 * 2)
            assert found.mode[y, x] == asked.mode[b, a]
            for reference, used in enumerate(USES[int(found.mode[y, x])]):
                if used:
                    assert found.vectors[reference, :, y, x].tolist() == asked.vectors[reference, :, b, a].tolist()


class Coins:
    """A channel that reads anything at all."""

    def __init__(self, seed: int) -> None:
        self._draw = np.random.default_rng(seed)

    def code(self, probabilities: IntArray, bits: IntArray | None) -> IntArray:
        return self._draw.integers(0, 2, len(probabilities))

    def code_symbols(self, contexts: IntArray, tables: IntArray, symbols: IntArray | None) -> IntArray:
        return self._draw.integers(0, tables.shape[1], len(contexts))


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1), st.integers(1, 5), st.integers(1, 3))
@example(1, 1, 1)
@example(2, 2, 3)
def test_any_bits_are_motion_within_the_limit(seed: int, level: int, count: int) -> None:
    frames = batch(level, count)
    draw = np.random.default_rng(seed)
    guesses = [draw.integers(-FIELD_LIMIT, FIELD_LIMIT + 1, (2, 2, 16, 16)) for _ in frames]
    for motion in MotionCoder(EntropyModel(), Coins(seed)).code(frames, guesses, None):
        assert np.abs(motion.vectors).max() <= FIELD_LIMIT
        assert motion.split.any()


@settings(max_examples=40)
@given(st.binary(max_size=200), st.integers(1, 5), st.integers(1, 3), st.integers(1, 4), st.integers(1, 4))
def test_any_bytes_are_some_motion(data: bytes, level: int, count: int, rows: int, columns: int) -> None:
    frames = batch(level, count)
    guesses = [np.zeros((2, 2, 2 * rows, 2 * columns), dtype=np.int64) for _ in frames]
    for motion in read(frames, guesses, data):
        assert motion.mode.shape == (2 * rows, 2 * columns)
        assert set(motion.mode.reshape(-1).tolist()) <= {FIRST, SECOND, BOTH, NEITHER}
        assert np.abs(motion.vectors).max() <= FIELD_LIMIT
        assert set(motion.split.reshape(-1).tolist()) <= {0, 1}


def test_motion_as_guessed_is_nearly_free() -> None:
    draw = np.random.default_rng(1)
    frames = batch(3, 4)
    guesses = [np.broadcast_to(draw.integers(-200, 200, (2, 2, 1, 1)), (2, 2, 16, 16)).copy() for _ in frames]
    smooth = [Motion(np.full((16, 16), BOTH), guess, np.zeros((8, 8), dtype=np.int64)) for guess in guesses]
    rough = [random_motion(draw, 16, 16, 200) for _ in frames]
    assert len(write(frames, guesses, smooth)[1]) < 120  # of 256 squares
    assert len(write(frames, guesses, rough)[1]) > 1000


def path(frame: CodedFrame, first: int, second: int, grid: tuple[int, int] = (2, 2)) -> tuple[CodedFrame, Motion]:
    """A frame all of whose blocks moved by `first` into its first reference, by `second` into the other."""
    vectors = np.zeros((2, 2, *grid), dtype=np.int64)
    vectors[0], vectors[1] = first, second
    return frame, Motion(np.full(grid, BOTH), vectors, np.zeros((1, 1), dtype=np.int64))


def test_expected_motion_is_of_constant_speed_by_hand() -> None:
    # Frame 4 moved by 80 into frame 0: 20 a frame. Frame 1 is then 20 from frame 0, and -60 from frame 4.
    known = {0: path(CodedFrame(0, 0), 0, 0), 4: path(CodedFrame(4, 1, 0, 0), 80, 0)}
    guess = expected(CodedFrame(1, 3, 0, 4), known, (2, 2))
    assert (guess[0] == 20).all()
    assert (guess[1] == -60).all()
    # Nothing is known of an anchor or a key frame.
    assert not expected(CodedFrame(8, 1, 4, 0), known, (2, 2)).any()
    assert not expected(CodedFrame(8, 0), known, (2, 2)).any()


def test_expected_motion_is_taken_from_either_side() -> None:
    # Frame 2 was coded between 0 and 4 and moved by -40 into frame 4; frame 4 says nothing about frame 2.
    known = {
        0: path(CodedFrame(0, 0), 0, 0),
        4: path(CodedFrame(4, 1, 0, 0), 7, 7),
        2: path(CodedFrame(2, 2, 0, 4), 11, -40),
    }
    guess = expected(CodedFrame(3, 3, 2, 4), known, (2, 2))
    assert (guess[0] == 20).all()
    assert (guess[1] == -20).all()
    # Neither end knows of the other: zero.
    strangers = {2: path(CodedFrame(2, 1, 0, 0), 9, 9), 4: path(CodedFrame(4, 0), 9, 9)}
    assert not expected(CodedFrame(3, 3, 2, 4), strangers, (2, 2)).any()


@given(st.integers(-FIELD_LIMIT, FIELD_LIMIT), st.integers(2, 64), st.data())
def test_expected_motion_is_rounded_and_stays_in_range(motion: int, length: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(1, length - 1))
    known = {0: path(CodedFrame(0, 0), 0, 0), length: path(CodedFrame(length, 1, 0, 0), motion, 0)}
    guess = expected(CodedFrame(index, 2, 0, length), known, (2, 2))
    assert abs(guess[0, 0, 0, 0] - motion * index / length) <= 0.5
    assert abs(guess[1, 0, 0, 0] + motion * (length - index) / length) <= 0.5
    assert np.abs(guess).max() <= FIELD_LIMIT


@pytest.mark.parametrize("frame", [ANCHOR, LONE_ANCHOR])
def test_an_anchor_expects_its_second_motion_to_go_on(frame: CodedFrame) -> None:
    """12 into the first reference means 12 * far / near into the second, which is further away or the same."""
    far = (frame.index - frame.second) / (frame.index - frame.first)
    vectors = np.zeros((2, 2, 16, 16), dtype=np.int64)
    vectors[0], vectors[1] = 12, round(12 * far)
    guesses = [np.zeros((2, 2, 16, 16), dtype=np.int64)]
    sizes = []
    for second in (vectors[1], vectors[1] - 30):
        told = np.stack([vectors[0], second])
        motion = Motion(np.full((16, 16), BOTH), told, np.zeros((8, 8), dtype=np.int64))
        sizes.append(len(write([frame], guesses, [motion])[1]))
    assert sizes[0] < sizes[1]
