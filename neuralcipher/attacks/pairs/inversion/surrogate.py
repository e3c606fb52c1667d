"""The public parts <g, F> with gradients, made from a view alone: what a white-box attacker works with.

Forwards a surrogate is the real thing, bit for bit where g is concerned; backwards it passes gradients straight through
rounding, shifts and sums modulo 256.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from neuralcipher.attacks.views import Public
from neuralcipher.generators.base import Generator

Differentiable = Callable[[Tensor], Tensor]

_TRIALS = 4


@dataclass(frozen=True, slots=True)
class Surrogate:
    """What has gradients. None: that part has none, and only its outputs can be used.

    show: F, (B, C, H, W) float64 latents in 0..255 to (B, 3, H, W) frames around [0, 1], not rounded.
    step: g, whole numbers in 0..255 as float64 to the same.
    """

    show: Differentiable | None
    step: Differentiable | None


def surrogate_of(public: Public) -> Surrogate:
    """The surrogate of <g, F>: by the hook `differentiable` of F and of g, or by probing a g that is a permutation."""
    return Surrogate(_flow(public), _generator(public.generator))


def rounded(z: Tensor) -> Tensor:
    """Whole numbers in 0..255, with the gradient of the identity."""
    return z + (z.detach().round().clamp(0, 255) - z.detach())


@dataclass(slots=True)
class Growth:
    """By how much each step of g enlarged the gradient that went back through it, before it was scaled down."""

    factors: list[float]

    def through(self, step: Differentiable, z: Tensor) -> Tensor:
        """step(z), with a gradient that leaves as large as it came at most: else one step of a chaotic g drowns all."""
        if not z.requires_grad:
            return step(z)
        arrived: list[Tensor] = []
        branch = z.clone()
        out = step(branch)
        out.register_hook(lambda gradient: arrived.append(gradient.detach()))  # type: ignore[no-untyped-call]

        def scale(gradient: Tensor) -> Tensor:
            came = _norm(arrived[0]) if arrived else _norm(gradient)
            grown = _norm(gradient)
            self.factors.append(float((grown / came.clamp(min=1e-300)).max()))
            return gradient.nan_to_num(0.0, 0.0, 0.0) * (came / grown.clamp(min=1e-300)).clamp(max=1.0)

        branch.register_hook(scale)  # type: ignore[no-untyped-call]
        return out


def _norm(gradient: Tensor) -> Tensor:
    """(B, 1, 1, 1): of each latent's gradient."""
    norm: Tensor = gradient.double().flatten(1).norm(dim=1)
    return norm.view(-1, 1, 1, 1)


def _flow(public: Public) -> Differentiable | None:
    hook: Any = getattr(public.flow, "differentiable", None)
    shown: Differentiable | None = hook(public.section) if hook is not None else None
    if shown is None:
        return None
    inner: Differentiable = shown
    return lambda z: inner(z / 256)


def _generator(generator: Generator) -> Differentiable | None:
    hook: Any = getattr(generator, "differentiable", None)
    if hook is not None:
        step: Differentiable = hook
        return step
    return _permutation(generator)


def _permutation(generator: Generator) -> Differentiable | None:
    """g as z[order] + constant modulo 256, if that is what it is: four latents tell, one full of 255 and `_TRIALS`
    random ones confirm."""
    size = generator.shape[0] * generator.shape[1] * generator.shape[2]

    def after(row: Tensor) -> Tensor:
        return generator.next_latent(row.to(torch.uint8).view(generator.shape)).reshape(-1).to(torch.int64)

    places = torch.arange(size)
    constant = after(torch.zeros(size))
    digits = [(after(places >> shift & 255) - constant) % 256 for shift in (0, 8, 16)]
    order = digits[0] + (digits[1] << 8) + (digits[2] << 16)
    if not torch.equal(order.sort().values, places):
        return None
    draw = torch.Generator().manual_seed(0)
    trials = [torch.full((size,), 255), *torch.randint(0, 256, (_TRIALS, size), generator=draw)]
    for z in trials:
        if not torch.equal(after(z), (z[order] + constant) % 256):
            return None

    def step(z: Tensor) -> Tensor:
        moved = z.flatten(1)[:, order] + constant
        return (moved - 256 * torch.floor(moved.detach() / 256)).view(z.shape)

    return step
