"""The learned part of the synthesis: a small network that repairs the linear frames.

It looks at a frame and at what changed since the last and until the next one, at half resolution, and adds a
correction: it removes block edges and averages noise over time where nothing moves.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from neuralcipher.coding.weights import quantise_through, step_exponent
from neuralcipher.flows.device import place, training_precision
from neuralcipher.flows.latent.transform import FOLD, unfold

_SLOPE = 0.1
_PIXELS_PER_STEP = 4 * 320 * 184
_CROP = 192
_BATCH = 4
_RATE = 5e-3
_QUANTISE_AFTER = 0.7


class RefineNetwork(nn.Module):
    """Three 3x3 convolutions at half resolution with `hidden` channels between them."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        folded = 3 * FOLD * FOLD
        self.first = nn.Conv2d(3 * folded, hidden, 3, padding=1)
        self.middle = nn.Conv2d(hidden, hidden, 3, padding=1)
        self.last = nn.Conv2d(hidden, folded, 3, padding=1)
        nn.init.zeros_(self.last.weight)
        self.last.bias = nn.Parameter(torch.zeros(folded))  # starts as the identity

    def forward(self, before: Tensor, frame: Tensor, after: Tensor) -> Tensor:
        """Repair `frame`; all folded, (B, 12, H/2, W/2) float32, about [0, 1]. Returns the same shape."""
        x = torch.cat([frame - 0.5, before - frame, after - frame], dim=1)
        x = F.leaky_relu(self.first(x), _SLOPE)
        x = F.leaky_relu(self.middle(x), _SLOPE)
        correction: Tensor = self.last(x)
        return frame + correction.to(frame.dtype)


def neighbours(linear: Tensor, index: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(before, frame, after) of the frames at `index` (B,) in `linear` (N, 12, H/2, W/2); the ends repeat."""
    last = len(linear) - 1
    return linear[(index - 1).clamp_min(0)], linear[index], linear[(index + 1).clamp_max(last)]


def mean_squared_error(folded: Tensor, frames: Tensor) -> Tensor:
    """Between folded frames in [0, 1] and frames (B, 3, H, W) uint8, over the part that the latter cover."""
    height, width = frames.shape[-2:]
    return F.mse_loss(unfold(folded)[..., :height, :width], frames.float() / 255)


def train_refine(
    network: RefineNetwork,
    linear: Tensor,
    frames: Tensor,
    *,
    weight_bits: int,
    fraction: Callable[[int], float],
    report: Callable[[int, float], None],
    seed: int,
    device: torch.device,
) -> list[int]:
    """Fit the network to turn `linear` (N, 12, H'/2, W'/2) float16, folded, into `frames` (N, 3, H, W) uint8.

    fraction(step): 0..1 of the budget; training ends at 1. report(step, psnr_db). The last 30 % of the budget train
    with quantised weights. Returns the grid exponent of each parameter; the parameters end on their grids.
    """
    draw = torch.Generator().manual_seed(seed)
    place(network, device)
    parameters = list(network.parameters())
    optimiser = torch.optim.Adam(parameters, lr=_RATE, betas=(0.9, 0.99))
    exponents: list[int] | None = None
    step = 0
    while (done := fraction(step)) < 1:
        for group in optimiser.param_groups:
            group["lr"] = _RATE * (0.5 + 0.5 * math.cos(math.pi * done)) + 1e-5
        if exponents is None and done >= _QUANTISE_AFTER:
            exponents = [step_exponent(p.detach(), weight_bits) for p in parameters]
        index = torch.randint(len(frames), (_BATCH,), generator=draw)
        rows, columns = _crop(frames.shape[-2:], draw)
        folded = (..., _folded(rows), _folded(columns))
        inputs = [part[folded].to(device).float() for part in neighbours(linear, index)]
        truth = frames[index][..., rows, columns].to(device)
        with training_precision(device):
            output = _run_on_grid(network, inputs, exponents)
        loss = mean_squared_error(output.float(), truth)
        optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        optimiser.step()
        step += 1
        if step % 10 == 0:
            report(step, -10 * math.log10(max(loss.item(), 1e-10)))
    exponents = exponents or [step_exponent(p.detach(), weight_bits) for p in parameters]
    with torch.no_grad():
        for parameter, exponent in zip(parameters, exponents, strict=True):
            parameter.copy_(quantise_through(parameter, exponent))
    return exponents


def _run_on_grid(network: RefineNetwork, inputs: list[Tensor], exponents: list[int] | None) -> Tensor:
    if exponents is None:
        plain: Tensor = network(*inputs)
        return plain
    names = [name for name, _ in network.named_parameters()]
    on_grid = {
        name: quantise_through(parameter, exponent)
        for name, parameter, exponent in zip(names, network.parameters(), exponents, strict=True)
    }
    output: Tensor = torch.func.functional_call(network, on_grid, tuple(inputs))
    return output


def _crop(size: torch.Size, draw: torch.Generator) -> tuple[slice, slice]:
    """Whole frames while a batch of them is small, else an even-aligned window, so that a step costs the same."""
    height, width = size
    if _BATCH * height * width <= _PIXELS_PER_STEP:
        return slice(0, height + height % 2), slice(0, width + width % 2)
    return _window(height, _CROP, draw), _window(width, _PIXELS_PER_STEP // (_BATCH * _CROP), draw)


def _folded(pixels: slice) -> slice:
    """The same window, with even ends, in folded frames."""
    return slice(pixels.start // FOLD, pixels.stop // FOLD)


def _window(length: int, size: int, draw: torch.Generator) -> slice:
    if length <= size:
        return slice(0, length + length % 2)
    start = 2 * int(torch.randint((length - size) // 2 + 1, (1,), generator=draw))
    return slice(start, start + size)
