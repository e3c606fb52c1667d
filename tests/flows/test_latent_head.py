"""The head of a segment: what is written comes back, and any bytes are some head."""

from __future__ import annotations

import struct

import numpy as np
import torch
from flow_parts import CPU
from hypothesis import given, settings
from hypothesis import strategies as st

from neuralcipher.flows.latent.head import MAX_QUALITY, Changes, Head, changes_bytes, grid_step
from neuralcipher.flows.latent.network import shipped_weights
from neuralcipher.flows.latent.transform import COLOUR_BYTES, Colour

SHAPES = [weight.shape for weight in shipped_weights()]
colours = st.lists(st.integers(-(2**15), 2**15 - 1), min_size=12, max_size=12).map(lambda v: Colour(tuple(v)))


@st.composite
def changes(draw: st.DrawFn) -> Changes:
    numbers = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    largest = draw(st.sampled_from([0, 1, 40, 4095]))
    density = draw(st.sampled_from([0.02, 1.0]))
    levels = []
    for shape in SHAPES:
        found = numbers.integers(-largest, largest + 1, tuple(shape)) * (numbers.random(tuple(shape)) < density)
        levels.append(torch.from_numpy(found))
    exponents = draw(st.lists(st.integers(0, 15), min_size=len(SHAPES), max_size=len(SHAPES)))
    return Changes(tuple(exponents), tuple(levels))


def same(one: Changes | None, other: Changes | None) -> bool:
    if one is None or other is None:
        return one is other
    pairs = zip(one.levels, other.levels, strict=True)
    return one.exponents == other.exponents and all(torch.equal(a, b) for a, b in pairs)


@settings(max_examples=12)
@given(colours, st.integers(0, MAX_QUALITY), st.booleans(), st.none() | changes(), st.binary(max_size=30))
def test_a_head_comes_back(colour: Colour, quality: int, repairs: bool, changed: Changes | None, spare: bytes) -> None:
    head = Head(colour, quality, repairs, changed)
    back = Head.from_bytes(head.to_bytes(), spare)
    assert (back.colour, back.quality, back.repairs) == (colour, quality, repairs)
    assert same(back.changes, changed)


def test_a_head_without_changes_by_hand() -> None:
    head = Head(Colour(tuple(range(-5, 7))), 60, True, None)
    assert head.to_bytes() == struct.pack("<12h", *range(-5, 7)) + bytes([60, 1])


@settings(max_examples=25)
@given(st.binary(max_size=60) | st.binary(min_size=26, max_size=60), st.binary(max_size=60), st.booleans())
def test_any_bytes_are_a_head_with_a_network_that_runs(data: bytes, spare: bytes, changed: bool) -> None:
    if changed and len(data) > COLOUR_BYTES + 1:
        data = data[: COLOUR_BYTES + 1] + bytes([data[COLOUR_BYTES + 1] | 3]) + data[COLOUR_BYTES + 2 :]
    head = Head.from_bytes(data, spare)
    assert 0 <= head.quality <= MAX_QUALITY
    if head.changes is not None:
        assert [level.shape for level in head.changes.levels] == SHAPES
        assert all(int(level.abs().max()) <= 4095 for level in head.changes.levels)
    network = head.network(CPU)
    assert (network is not None) == head.repairs
    if network is not None:
        frame = torch.zeros(1, 4, 4, 4)
        one = torch.ones(1, dtype=torch.int64)
        with torch.no_grad():
            assert bool(network(frame, frame, one, one * head.quality).isfinite().all())


def test_the_network_is_what_shipped_plus_the_changes() -> None:
    levels = [torch.zeros(shape, dtype=torch.int64) for shape in SHAPES]
    levels[2].reshape(-1)[3] = -7
    head = Head(Colour((0,) * 12), 0, True, Changes((4,) * len(SHAPES), tuple(levels)))
    network = head.network(CPU)
    assert network is not None
    found = [p.detach() for p in network.parameters()]
    for number, (weight, shipped) in enumerate(zip(found, shipped_weights(), strict=True)):
        expected = shipped.clone()
        if number == 2:
            expected.reshape(-1)[3] -= 7 * 0.125  # 0.5 * 2**(-4 / 2)
        torch.testing.assert_close(weight, expected, rtol=0, atol=1e-7)
    plain = Head(Colour((0,) * 12), 0, True, None).network(CPU)
    assert plain is not None
    assert all(torch.equal(p, s) for p, s in zip(plain.parameters(), shipped_weights(), strict=True))


def test_grids_are_half_octaves() -> None:
    assert [grid_step(exponent) for exponent in (0, 2, 4, 14)] == [0.5, 0.25, 0.125, 2**-8]


def test_no_change_is_nearly_free_and_many_are_not() -> None:
    none = Changes((13,) * len(SHAPES), tuple(torch.zeros(shape, dtype=torch.int64) for shape in SHAPES))
    draw = torch.Generator().manual_seed(1)
    some = Changes((13,) * len(SHAPES), tuple(torch.randint(-8, 9, shape, generator=draw) for shape in SHAPES))
    count = sum(shape.numel() for shape in SHAPES)
    assert 8 * len(changes_bytes(none)) < 0.1 * count
    assert 8 * len(changes_bytes(some)) > count * np.log2(17)  # of 17 values that are equally likely
    assert 8 * len(changes_bytes(some)) < 2 * count * np.log2(17)
    plain, changed = (len(Head(Colour((0,) * 12), 0, True, c).to_bytes()) for c in (None, some))
    assert changed - plain == len(changes_bytes(some))
