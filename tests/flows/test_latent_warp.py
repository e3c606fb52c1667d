"""Prediction by overlapped windows, against its definition pixel by pixel."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from neuralcipher.flows.latent import warp
from neuralcipher.flows.latent.warp import BLOCK, BORDER, CHANNELS, Reference, predict

TAPS = (-1, 4, -11, 40, 40, -11, 4, -1)
HEIGHT, WIDTH = 24, 16


def picture(seed: int) -> Tensor:
    frame = torch.rand(HEIGHT, WIDTH, CHANNELS, generator=torch.Generator().manual_seed(seed)) - 0.5
    frame[..., 3] = 0
    return frame


def value(frame: Tensor, y: int, x: int) -> Tensor:
    """(4,): the frame at y, x in quarter pixels, edges repeated."""

    def pixel(b: int, a: int) -> Tensor:
        return frame[min(max(b, 0), HEIGHT - 1), min(max(a, 0), WIDTH - 1)].double()

    def column(b: int, a: int) -> Tensor:
        """Rows in half pixels, columns in pixels."""
        if b % 2 == 0:
            return pixel(b // 2, a)
        return sum((tap * pixel(b // 2 + i - 3, a) for i, tap in enumerate(TAPS)), torch.zeros(4).double()) / 64

    def half(b: int, a: int) -> Tensor:
        if a % 2 == 0:
            return column(b, a // 2)
        return sum((tap * column(b, a // 2 + i - 3) for i, tap in enumerate(TAPS)), torch.zeros(4).double()) / 64

    above, below, left, right = y // 2, (y + 1) // 2, x // 2, (x + 1) // 2
    if y % 2 and x % 2 and (above + left) % 2 == 0:
        left, right = right, left
    return (half(above, left) + half(below, right)) / 2


def by_hand(frame: Tensor, motion: Tensor, halves: Tensor) -> Tensor:
    """Each pixel: the four nearest blocks' values, weighted by how near their centres are."""
    _, rows, columns = motion.shape
    made = torch.zeros(HEIGHT, WIDTH, CHANNELS, dtype=torch.float64)
    for y in range(HEIGHT):
        for x in range(WIDTH):
            above, left = math.floor((y - 3.5) / BLOCK), math.floor((x - 3.5) / BLOCK)
            for i in (0, 1):
                for j in (0, 1):
                    down, across = (y - 3.5) / BLOCK - above, (x - 3.5) / BLOCK - left
                    weight = (down if i else 1 - down) * (across if j else 1 - across)
                    b, a = min(max(above + i, 0), rows - 1), min(max(left + j, 0), columns - 1)
                    dy, dx = motion[:, b, a].tolist()
                    made[y, x] += weight * halves[b, a] / 2 * value(frame, 4 * y + dy, 4 * x + dx)
    return made


def case(seed: int, reach: int) -> tuple[Tensor, Tensor]:
    """Motion (2, 2, h, w) and halves (2, h, w); some blocks beside each other move alike."""
    draw = torch.Generator().manual_seed(seed)
    grid = HEIGHT // BLOCK, WIDTH // BLOCK
    motion = torch.randint(-reach, reach + 1, (2, 2, *grid), generator=draw)
    motion[:, :, :2] = motion[:, :, :1, :1]
    halves = torch.randint(0, 3, (2, *grid), generator=draw)
    halves[:, :2] = torch.tensor([1, 2])[:, None, None]
    return motion, halves


@pytest.mark.parametrize("reach", [0, 5, 30])
def test_each_pixel_is_what_its_four_blocks_say(reach: int) -> None:
    frame = picture(reach)
    motion, halves = case(1, reach)
    made = predict([Reference(frame)], motion[:1], halves[:1])
    assert made.shape == (HEIGHT, WIDTH, CHANNELS)
    assert torch.allclose(made.double(), by_hand(frame, motion[0], halves[0]), atol=2e-3)  # references are float16


def test_two_references_add_up() -> None:
    references = [Reference(picture(1)), Reference(picture(2))]
    motion, halves = case(2, 9)
    alone = [predict([references[i]], motion[i : i + 1], halves[i : i + 1]) for i in (0, 1)]
    assert torch.equal(predict(references, motion, halves), alone[0] + alone[1])


def test_bands_of_rows_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    references = [Reference(picture(1)), Reference(picture(2))]
    motion, halves = case(3, 9)
    whole = predict(references, motion, halves)
    monkeypatch.setattr(warp, "_AT_ONCE", 1)
    assert torch.equal(predict(references, motion, halves), whole)


@pytest.mark.parametrize("halves", [0, 2])
def test_motion_of_one_kind_alone(halves: int) -> None:
    """No cell is mixed; without weight, none is looked up at all."""
    motion = torch.full((1, 2, HEIGHT // BLOCK, WIDTH // BLOCK), 4 * 3)
    made = predict([Reference(picture(4))], motion, torch.full((1, HEIGHT // BLOCK, WIDTH // BLOCK), halves))
    expected = picture(4).half().float()[3:, 3:] * (halves / 2)
    assert torch.equal(made[:-3, :-3], expected)


def test_motion_far_out_sees_the_edge() -> None:
    motion = torch.full((1, 2, HEIGHT // BLOCK, WIDTH // BLOCK), -4 * (HEIGHT + BORDER))
    made = predict([Reference(picture(5))], motion, torch.full((1, HEIGHT // BLOCK, WIDTH // BLOCK), 2))
    assert torch.equal(made, picture(5).half().float()[0, 0].expand(HEIGHT, WIDTH, CHANNELS))
