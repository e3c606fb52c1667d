"""The entropy model is integer arithmetic: the same as with Python's own integers, from features that stay in range."""

from __future__ import annotations

from importlib.resources import files

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from neuralcipher.coding.bits import BitWriter
from neuralcipher.coding.entropy import IntArray, MessageEncoder
from neuralcipher.flows.latent.features import (
    BANDS,
    COEFFICIENTS,
    COLOURS,
    FLAG_FEATURES,
    LEVEL_FEATURES,
    SKIP_FEATURES,
    Neighbourhood,
    Surroundings,
    discontinuity,
    logarithm,
    shifted,
)
from neuralcipher.flows.latent.model import EntropyModel, IntegerNetwork, network_shapes, read_prior, stored_prior
from neuralcipher.flows.latent.network import RepairNetwork, shipped_weights

INT16 = (-(2**15), 2**15 - 1)


def by_hand(network: IntegerNetwork, row: int, features: list[int]) -> list[int]:
    """relu(x @ first + first_bias) @ second + second_bias with Python's integers; >> rounds down."""
    first, second = network.first.astype(int).tolist(), network.second.astype(int).tolist()
    first_bias = network.first_bias.astype(int)[row % len(network.first_bias), 0].tolist()
    second_bias = network.second_bias.astype(int)[row % len(network.second_bias), 0].tolist()
    hidden = []
    for j, bias in enumerate(first_bias):
        total = sum(x * weights[j] for x, weights in zip(features, first, strict=True)) + 64 * bias
        hidden.append(min(max(total, 0), 32767 * 64) >> 6)
    return [
        (sum(h * weights[j] for h, weights in zip(hidden, second, strict=True)) + 256 * bias) >> 8
        for j, bias in enumerate(second_bias)
    ]


@settings(max_examples=60)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 24),
    st.integers(1, 24),
    st.integers(1, 3),
    st.integers(1, 4),
    st.booleans(),
)
@example(0, 20, 24, 3, 3, True)
def test_logits_are_those_of_exact_integers(
    seed: int, inputs: int, hidden: int, outputs: int, rows: int, extreme: bool
) -> None:
    draw = np.random.default_rng(seed)

    def weights(*shape: int) -> IntArray:
        return draw.choice(INT16, shape) if extreme else draw.integers(INT16[0], INT16[1] + 1, shape)

    parts = weights(inputs, hidden), weights(rows, 1, hidden), weights(hidden, outputs), weights(rows, 1, outputs)
    network = IntegerNetwork(*(part.astype(np.float64) for part in parts))
    features = draw.integers(0, 128, (inputs, rows, 5)).astype(np.float64)
    if extreme:
        features = 127.0 * (features > 63)
    found = network.logits(features)
    assert found.dtype == np.int64
    for row in range(rows):
        for n in range(5):
            assert found[:, row, n].tolist() == by_hand(network, row, features[:, row, n].astype(int).tolist())


@pytest.mark.parametrize("number", range(25))
def test_the_stored_networks_are_exact_too(number: int) -> None:
    prior = stored_prior()
    network = [prior.skip, *(n for pair in zip(prior.flags, prior.levels, strict=True) for n in pair)][number]
    rows, inputs = len(network.first_bias), len(network.first)
    features = np.random.default_rng(number).integers(0, 128, (inputs, rows, 20))
    found = network.logits(features.astype(np.float64))
    for row in {0, rows - 1}:
        assert found[:, row].T.tolist() == [by_hand(network, row, x) for x in features[:, row].T.tolist()]


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=20)
def test_logits_do_not_depend_on_what_else_is_in_the_batch(seed: int) -> None:
    draw = np.random.default_rng(seed)
    network = stored_prior().levels[4]
    features = draw.integers(0, 128, (LEVEL_FEATURES, len(network.first_bias), 37)).astype(np.float64)
    order = draw.permutation(37)
    whole = network.logits(features)
    assert np.array_equal(network.logits(features[..., order]), whole[..., order])
    assert np.array_equal(network.logits(features[..., :1]), whole[..., :1])


def test_the_stored_files_hold_exactly_what_is_read() -> None:
    data = files("neuralcipher").joinpath("data")
    prior = stored_prior()
    weights = sum(int(np.prod(shape)) for shape, _ in network_shapes())
    raw = data.joinpath("latent_prior.bin").read_bytes()
    assert len(raw) == 2 * weights + sum(table.size for table in prior.tables)
    assert min(table.min() for table in prior.tables) >= 1
    assert all(np.array_equal(one, other) for one, other in zip(read_prior(raw).tables, prior.tables, strict=True))
    repair = data.joinpath("latent_network.bin").read_bytes()
    assert len(repair) == 2 * sum(parameter.numel() for parameter in RepairNetwork().parameters())
    assert all(bool(weight.isfinite().all()) for weight in shipped_weights())


def test_two_models_do_not_share_what_they_learn() -> None:
    one, other = EntropyModel(), EntropyModel()
    where = np.zeros(3, dtype=np.int64)
    one.fields.code(BitWriter(MessageEncoder()), where, where)
    one.fields.learn()
    assert np.array_equal(other.fields.counts, EntropyModel().fields.counts)
    assert not np.array_equal(one.fields.counts, other.fields.counts)


def test_bands_hold_every_coefficient_once() -> None:
    places = [(plane, k) for band in BANDS for plane in band.planes for k in band.positions]
    assert sorted(places) == [(plane, k) for plane in range(COLOURS) for k in range(COEFFICIENTS)]


@given(st.lists(st.integers(0, 2**40), min_size=1))
def test_magnitudes_enter_as_exact_logarithms(values: list[int]) -> None:
    """floor(16 log2(1 + x)) = n means 2**n <= (1 + x)**16 < 2**(n + 1)."""
    for x, n in zip(values, logarithm(np.array(values)).tolist(), strict=True):
        assert 2**n <= (1 + x) ** 16
        assert (1 + x) ** 16 < 2 ** (n + 1) or n == 127


def test_a_shifted_field_by_hand() -> None:
    field = np.arange(12).reshape(1, 3, 4)
    right = np.zeros((2, 3, 4), dtype=np.int64)
    right[1] = 32  # eight pixels, one block
    assert shifted(field, right)[0].tolist() == [[1, 2, 3, 3], [5, 6, 7, 7], [9, 10, 11, 11]]
    half = np.full((2, 3, 4), 15)  # below half a block: nowhere
    assert np.array_equal(shifted(field, half), field)
    half[1] = 16  # half a block, to the right but not down
    half[0] = -16  # halves are rounded up
    assert np.array_equal(shifted(field, half), shifted(field, right))
    up = np.zeros((2, 3, 4), dtype=np.int64)
    up[0] = -17  # above half a block
    assert shifted(field, up)[0].tolist() == [[0, 1, 2, 3], [0, 1, 2, 3], [4, 5, 6, 7]]


def test_discontinuity_by_hand() -> None:
    motion = np.zeros((2, 2, 2, 3), dtype=np.int64)
    motion[1, :, 0, 2] = [3, -4]  # one block of the second reference moves
    assert discontinuity(motion).tolist() == [[0, 7, 7], [0, 0, 7]]


@settings(max_examples=30)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 3),
    st.integers(1, 4),
    st.integers(1, 4),
    st.sampled_from([0, 1, 30, 20_000]),
    st.integers(0, 100),
)
def test_features_lie_within_0_to_127(seed: int, count: int, rows: int, columns: int, size: int, quality: int) -> None:
    draw = np.random.default_rng(seed)
    grid = 2 * rows, 2 * columns
    frames = [
        Surroundings(
            activity=draw.integers(0, 50 * size + 1, (2, len(BANDS), *grid)),
            fresh=draw.integers(0, 50 * size + 1, grid),
            mode=draw.integers(0, 4, grid),
            change=draw.integers(0, 20_000, grid),
            level=int(draw.integers(0, 6)),
        )
        for _ in range(count)
    ]
    around = Neighbourhood(frames, quality)
    whole = np.ones((count, *grid), dtype=np.bool_)
    seen = []
    for band in range(len(BANDS)):
        for blocks in around.passes(whole):
            flags = around.flag_features(band, blocks)
            levels = around.level_features(band, blocks, flags)
            assert flags.shape == (FLAG_FEATURES, len(blocks.flat))
            assert levels.shape == (LEVEL_FEATURES, BANDS[band].size, len(blocks.flat))
            seen += [flags, levels]
            around.put(band, blocks, draw.integers(0, size + 1, (BANDS[band].size, len(blocks.flat))))
    coded = draw.integers(0, 2, (count, rows, columns))
    for parity in (0, 1):
        mask, skips = around.skip_features(coded, parity)
        assert skips.shape == (SKIP_FEATURES, mask.sum())
        seen.append(skips)
    assert all(part.min(initial=0) >= 0 and part.max(initial=0) <= 127 for part in seen)


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1), st.integers(1, 3), st.integers(1, 3))
def test_the_passes_of_a_chequerboard_hold_every_block_once(seed: int, rows: int, columns: int) -> None:
    grid = 2 * rows, 2 * columns
    nothing = np.zeros(grid, dtype=np.int64)
    frame = Surroundings(np.zeros((2, len(BANDS), *grid), dtype=np.int64), nothing, nothing, nothing, 1)
    around = Neighbourhood([frame, frame], 60)
    mask = np.random.default_rng(seed).random((2, *grid)) < 0.7
    found = np.zeros(mask.shape, dtype=np.int64)
    for blocks in around.passes(mask):
        frame, row, column = np.unravel_index(blocks.place, mask.shape)
        found[frame, row, column] += 1
        y, x = row[:, None] - row, column[:, None] - column
        assert not ((abs(y) + abs(x) == 1) & (frame[:, None] == frame)).any()
    assert np.array_equal(found, mask)
