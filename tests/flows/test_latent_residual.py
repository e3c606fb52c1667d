"""Latents of a batch: what a writer chose is what a reader finds, and what it chose is worth its bits."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from neuralcipher.coding.bits import BitReader, BitWriter
from neuralcipher.coding.entropy import IntArray, MessageDecoder, MessageEncoder
from neuralcipher.flows.latent.features import BANDS, COEFFICIENTS, COLOURS, Surroundings
from neuralcipher.flows.latent.model import EntropyModel
from neuralcipher.flows.latent.residual import CodedLatents, ResidualCoder
from neuralcipher.flows.latent.section import MAX_BLOCKS_PER_BYTE

LIMIT = 15 + 8 * (2**11 - 1)  # of a level: a run of 14 above one, and eleven tails
QUALITY = 60
Grid = tuple[int, int]


def surroundings(draw: np.random.Generator, level: int, grid: Grid) -> Surroundings:
    if level == 0:
        nothing = np.zeros(grid, dtype=np.int64)
        return Surroundings(np.zeros((2, len(BANDS), *grid), dtype=np.int64), nothing, nothing + 3, nothing, 0)
    return Surroundings(
        activity=draw.integers(0, 40, (2, len(BANDS), *grid)) * draw.integers(0, 2, grid),
        fresh=draw.integers(0, 40, grid),
        mode=draw.integers(0, 4, grid),
        change=draw.integers(0, 100, grid),
        level=level,
    )


def batch(draw: np.random.Generator, level: int, count: int, grid: Grid) -> list[Surroundings]:
    """A batch is one key frame or one anchor, or several frames of a deeper level."""
    return [surroundings(draw, level, grid) for _ in range(count if level > 1 else 1)]


def write(
    frames: list[Surroundings], target: NDArray[np.float32], weight: float
) -> tuple[CodedLatents, bytes, EntropyModel]:
    encoder, model = MessageEncoder(full=True), EntropyModel()
    coded = ResidualCoder(model, BitWriter(encoder), QUALITY).encode(frames, target, weight)
    return coded, encoder.to_bytes(), model


def read(frames: list[Surroundings], data: bytes) -> tuple[CodedLatents, EntropyModel]:
    model = EntropyModel()
    reader = BitReader(MessageDecoder(data, b"spare"))
    return ResidualCoder(model, reader, QUALITY).decode(frames), model


def learned(model: EntropyModel) -> list[IntArray]:
    """Everything that a model may have learned."""
    return [part.counts for part in (model.fields, model.modes, model.quarters, model.splits)]


grids = st.tuples(st.integers(1, 4), st.integers(1, 4)).map(lambda g: (2 * g[0], 2 * g[1]))


@settings(max_examples=30)
@given(
    seed=st.integers(0, 2**32 - 1),
    level=st.integers(0, 5),
    count=st.integers(1, 3),
    grid=grids,
    scale=st.sampled_from([0.0, 0.3, 2.0, 60.0, 3000.0, 40_000.0]),
    weight=st.sampled_from([0.0, 0.12, 1.7, 50.0]),
)
@example(seed=1, level=0, count=1, grid=(2, 2), scale=40_000.0, weight=0.12)
@example(seed=1, level=3, count=3, grid=(2, 6), scale=40_000.0, weight=0.0)
def test_what_was_chosen_comes_back(seed: int, level: int, count: int, grid: Grid, scale: float, weight: float) -> None:
    draw = np.random.default_rng(seed)
    frames = batch(draw, level, count, grid)
    shape = len(frames), COLOURS, COEFFICIENTS, *grid
    sparse = draw.random(shape) < draw.choice([0.02, 1.0])
    target = (draw.uniform(-1, 1, shape) * scale * sparse).astype(np.float32)
    coded, data, writing = write(frames, target, weight)
    found, reading = read(frames, data)
    assert coded.latents.shape == shape
    assert np.array_equal(found.latents, coded.latents)
    assert np.array_equal(found.totals, coded.totals)
    assert np.abs(coded.latents).max() <= LIMIT
    pairs = zip(learned(writing), learned(reading), strict=True)
    assert all(np.array_equal(one, other) for one, other in pairs)
    # the totals are what later frames look at: sums of magnitudes by band
    for number, band in enumerate(BANDS):
        planes, positions = np.array(band.planes), np.array(band.positions)
        part = coded.latents[:, planes[:, None], positions[None]]
        assert np.array_equal(coded.totals[:, number], np.abs(part).sum(axis=(1, 2)))


@pytest.mark.parametrize("level", [0, 1, 4])
@settings(max_examples=12)
@given(
    seed=st.integers(0, 2**32 - 1),
    count=st.integers(1, 3),
    grid=grids,
    size=st.sampled_from([1, 2, 20, 2000, LIMIT]),
    density=st.sampled_from([0.01, 0.3, 1.0]),
)
@example(seed=1, count=2, grid=(4, 6), size=2000, density=1.0)
def test_integers_are_kept_where_bits_are_free(
    seed: int, level: int, count: int, grid: Grid, size: int, density: float
) -> None:
    draw = np.random.default_rng(seed)
    frames = batch(draw, level, count, grid)
    shape = len(frames), COLOURS, COEFFICIENTS, *grid
    target = draw.integers(-size, size + 1, shape) * (draw.random(shape) < density)
    if level == 0:  # mean colours are coded as differences, which lie within 4095
        target[:, :, 0] = np.clip(target[:, :, 0], -2047, 2047)
    coded, data, _ = write(frames, target.astype(np.float32), 0.0)
    assert np.array_equal(coded.latents, target)
    assert np.array_equal(read(frames, data)[0].latents, target)


def test_levels_beyond_the_limit_are_clipped() -> None:
    frames = batch(np.random.default_rng(1), 2, 1, (2, 2))
    target = np.zeros((1, COLOURS, COEFFICIENTS, 2, 2), dtype=np.float32)
    target[0, 0, 5, 0, 0], target[0, 2, 63, 1, 1] = 40_000, -40_000
    coded, data, _ = write(frames, target, 0.0)
    assert (coded.latents[0, 0, 5, 0, 0], coded.latents[0, 2, 63, 1, 1]) == (LIMIT, -LIMIT)
    assert np.array_equal(read(frames, data)[0].latents, coded.latents)


@settings(max_examples=40)
@given(st.binary(max_size=300), st.integers(0, 5), st.integers(1, 2), grids)
def test_any_bytes_are_some_latents(data: bytes, level: int, count: int, grid: Grid) -> None:
    frames = batch(np.random.default_rng(7), level, count, grid)
    found, _ = read(frames, data)
    assert found.latents.shape == (len(frames), COLOURS, COEFFICIENTS, *grid)
    assert np.abs(found.latents).max() <= LIMIT


@pytest.mark.parametrize("level", [0, 1, 4])
def test_what_is_coded_is_worth_its_bits(level: int) -> None:
    """A higher price buys fewer bits and more error, and what was chosen costs less than rounding everything."""
    draw = np.random.default_rng(level)
    frames = batch(draw, level, 1, (8, 8))
    fade = np.exp(-np.add.outer(np.arange(8), np.arange(8)) / 2).reshape(-1, 1, 1)
    target = (draw.laplace(size=(1, COLOURS, COEFFICIENTS, 8, 8)) * 3 * fade).astype(np.float32)
    sizes, errors = [], []
    for weight in (0.0, 0.12, 1.0, 10.0):
        coded, data, _ = write(frames, target, weight)
        sizes.append(8 * len(data))
        errors.append(float(((target - coded.latents) ** 2).sum()))
    assert sizes == sorted(sizes, reverse=True)
    assert errors == sorted(errors)
    assert sizes[-1] < sizes[0] / 2
    for weight, bits, error in zip((0.12, 1.0, 10.0), sizes[1:], errors[1:], strict=True):
        assert error + weight * bits < errors[0] + weight * sizes[0]


def test_nothing_to_code_costs_nearly_nothing() -> None:
    none = np.zeros((40, 40), dtype=np.int64)
    calm = Surroundings(np.zeros((2, len(BANDS), 40, 40), dtype=np.int64), none, none + 2, none, 4)
    frames = [calm, calm]
    coded, data, _ = write(frames, np.zeros((2, COLOURS, COEFFICIENTS, 40, 40), dtype=np.float32), 0.12)
    assert not coded.latents.any()
    assert len(data) <= 16  # 800 skipped squares, behind a state of 8 bytes


def test_faint_noise_is_skipped() -> None:
    """A tenth of a step is worth no bits: no square is coded, though coding it all would leave less error."""
    draw = np.random.default_rng(1)
    none = np.zeros((16, 16), dtype=np.int64)
    calm = Surroundings(np.zeros((2, len(BANDS), 16, 16), dtype=np.int64), none, none + 2, none, 4)
    target = draw.uniform(-0.3, 0.3, (1, COLOURS, COEFFICIENTS, 16, 16)).astype(np.float32)
    coded, data, _ = write([calm], target, 0.12)
    assert not coded.latents.any()
    assert len(data) <= 16  # 64 skipped squares, behind a state of 8 bytes


def test_no_video_is_below_the_bytes_that_its_size_demands() -> None:
    """A reader refuses sizes out of proportion to the first message; no writer can make one."""
    best_bits = -3 * math.log2(1 - 23 * 64 / (255 * 4096))  # three mean colours a block, at the most certain zero
    assert best_bits > 8 / MAX_BLOCKS_PER_BYTE
    grid = (96, 96)
    frames = [surroundings(np.random.default_rng(1), 0, grid)]
    _, data, _ = write(frames, np.zeros((1, COLOURS, COEFFICIENTS, *grid), dtype=np.float32), 0.12)
    assert MAX_BLOCKS_PER_BYTE * len(data) > 96 * 96


def test_a_trial_teaches_nothing() -> None:
    """The rehearsal that finds which squares to skip leaves no trace in the model."""
    frames = batch(np.random.default_rng(1), 0, 1, (4, 4))
    target = np.full((1, COLOURS, COEFFICIENTS, 4, 4), 3.0, dtype=np.float32)
    _, data, writing = write(frames, target, 0.12)
    _, reading = read(frames, data)
    assert all(np.array_equal(a, b) for a, b in zip(learned(writing), learned(reading), strict=True))
    assert not np.array_equal(writing.fields.counts, EntropyModel().fields.counts)  # the coding itself did
