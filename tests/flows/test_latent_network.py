"""The repairing network and the colours of pictures, against what their descriptions say."""

from __future__ import annotations

import pytest
import torch
from flow_parts import CPU
from torch import Tensor
from torch.nn import functional as F

from neuralcipher.flows.latent.network import RepairNetwork, repair_network, shipped_weights
from neuralcipher.flows.latent.transform import COLOUR_SCALE, Colour


def frames(count: int, seed: int) -> Tensor:
    """(count, 16, 32, 4), the fourth colour zero."""
    made = torch.rand(count, 16, 32, 4, generator=torch.Generator().manual_seed(seed)) - 0.5
    return made * torch.tensor([1.0, 1.0, 1.0, 0.0])


def folded(part: Tensor) -> Tensor:
    """(B, 16, H/2, W/2): squares of 2x2 pixels in the channels, rows first, colours last."""
    return torch.cat([part[:, i::2, j::2] for i in (0, 1) for j in (0, 1)], dim=3).permute(0, 3, 1, 2)


def by_description(network: RepairNetwork, frame: Tensor, residual: Tensor, level: Tensor, quality: Tensor) -> Tensor:
    bias = network.level[level] + quality[:, None] / 50 * network.quality
    x = F.conv2d(torch.cat([folded(frame), folded(residual)], dim=1), network.first.weight, padding=1)
    x = F.leaky_relu(network.middle(F.leaky_relu(x + bias[:, :, None, None], 0.1)), 0.1)
    added = network.last(x).permute(0, 2, 3, 1)
    repaired = frame.clone()
    for square in range(4):
        i, j = divmod(square, 2)
        repaired[:, i::2, j::2] += added[..., 4 * square : 4 * square + 4]
    return repaired


@pytest.mark.parametrize("count", [1, 3])
def test_repair_is_three_convolutions_of_squares(count: int) -> None:
    network = repair_network(shipped_weights(), CPU)
    frame, residual = frames(count, 1), frames(count, 2) / 10
    level, quality = torch.arange(count) + 2, torch.full((count,), 47)
    with torch.no_grad():
        found = network(frame, residual, level, quality)
        expected = by_description(network, frame, residual, level, quality)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
        assert float((found - frame).abs().max()) > 1e-3
        # neither the layout in memory nor the precision matters
        crop = network(frame[:, 2:, 4:], residual[:, 2:, 4:], level, quality)
        assert torch.equal(
            crop, network(frame[:, 2:, 4:].contiguous(), residual[:, 2:, 4:].contiguous(), level, quality)
        )
        double = network.double()(frame.double(), residual.double(), level, quality)
    torch.testing.assert_close(double.float(), found, rtol=0, atol=1e-5)


@pytest.mark.parametrize("width", [1, 2, 5, 6, 8])
def test_pictures_are_the_inverse_of_the_colour_axes(width: int) -> None:
    pictures = torch.randint(0, 256, (2, 3, 3, width), generator=torch.Generator().manual_seed(width)).byte()
    colour = Colour.fit(pictures.permute(0, 2, 3, 1).reshape(-1, 3).float() / 255)
    on_axes = F.pad(colour.apply(pictures).permute(0, 2, 3, 1), (0, 1))
    assert torch.equal(colour.pictures(on_axes), pictures)


def test_what_is_no_colour_is_clipped() -> None:
    colour = Colour((COLOUR_SCALE, 0, 0, 0, COLOUR_SCALE, 0, 0, 0, COLOUR_SCALE, 0, 0, 0))
    values = torch.tensor([-1.0, 2.0, float("nan"), 1e30, 0.5])
    shown = colour.pictures(F.pad(values[:, None].expand(-1, 3), (0, 1)).reshape(1, 5, 1, 4))
    assert shown[0, 0, :, 0].tolist() == [0, 255, 0, 255, 128]
