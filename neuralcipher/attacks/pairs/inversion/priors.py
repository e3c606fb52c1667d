"""What an attacker believes of frames before seeing them: smooth, of a likely mean; and solving with such beliefs.

The attacker's side again: only views come in. Source: Mahendran & Vedaldi, Understanding deep image representations by
inverting them (2015), for inversion by natural-image priors; Rudin, Osher & Fatemi (1992) for total variation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from neuralcipher.attacks.pairs.inversion.solving import (
    Answer,
    Objective,
    Stop,
    descend,
    known_objective,
    never,
    search,
)
from neuralcipher.attacks.pairs.inversion.surrogate import Surrogate
from neuralcipher.attacks.views import KnownFrames, Public

_SMOOTHNESS = 0.05
_MEAN_WEIGHT = 1.0

_USUAL_MEAN, _USUAL_SPREAD = 0.45, 0.22
"""Of natural pictures in [0, 1]; the attacker that knows no frame takes them for granted (a grey world)."""


def total_variation(x: Tensor) -> Tensor:
    """(B,): mean absolute difference of neighbours, both ways. x: (B, 3, H, W)."""
    down = (x[..., 1:, :] - x[..., :-1, :]).abs().flatten(1).mean(1)
    right = (x[..., 1:] - x[..., :-1]).abs().flatten(1).mean(1)
    return down + right


def mean_distance(x: Tensor, mean: Tensor) -> Tensor:
    """(B,): squared distance of the mean colour of x (B, 3, H, W) from `mean` (3,)."""
    return (x.mean(dim=(2, 3)) - mean).square().sum(1)


def unnatural(x: Tensor) -> Tensor:
    """(B,): how far x is from a smooth picture of usual mean and contrast: what is minimised without a plaintext.

    Without the contrast the smoothest picture of all would win, one flat colour.
    """
    usual = torch.full((3,), _USUAL_MEAN, dtype=x.dtype)
    contrast = (x.flatten(1).std(dim=1) - _USUAL_SPREAD).square()
    return total_variation(x) + mean_distance(x, usual) + contrast


@dataclass(frozen=True, slots=True)
class Prior:
    """name: for the report. plaintext: whether frame 0 is known. net: whether z_1 is what a small net makes."""

    name: str
    plaintext: bool = True
    smooth: bool = False
    mean: bool = False
    net: bool = False


NONE = Prior("none")

PRIORS = (
    Prior("total variation", smooth=True),
    Prior("mean colour", mean=True),
    Prior("deep image", net=True),
    Prior("no plaintext", plaintext=False),
)


def with_prior(known: Objective | None, prior: Prior, mean: Tensor | None) -> Objective:
    """The loss: errors of known frames, and how unlikely the first unknown one is. mean: (3,), of the known frames."""

    def loss(shown: Sequence[Tensor]) -> Tensor:
        if known is None:
            return unnatural(shown[0])
        total = known(shown)
        if prior.smooth:
            total = total + _SMOOTHNESS * total_variation(shown[-1])
        if prior.mean and mean is not None:
            total = total + _MEAN_WEIGHT * mean_distance(shown[-1], mean.to(shown[-1].dtype))
        return total

    return loss


def solve_with_prior(
    view: KnownFrames | Public,
    surrogate: Surrogate,
    prior: Prior,
    *,
    steps: int,
    draw: torch.Generator,
    stop: Stop = never,
) -> Answer:
    """Find z_1 from frames 0..k-1 and a prior on the next one, or from the prior alone if the view has no frames.

    Adam through the surrogate, or a search with as many evaluations where F has no gradients.
    """
    if isinstance(view, KnownFrames):
        public, known = view.public, known_objective(view.frames)
        mean: Tensor | None = torch.stack(list(view.frames.values())).float().mean(dim=(0, 2, 3)) / 255
        span = len(view.frames) + (prior.smooth or prior.mean)
    else:
        public, known, mean, span = view, None, None, 1
    objective = with_prior(known, prior, mean)
    if surrogate.show is None:
        return search(public, objective, span, evaluations=steps, draw=draw, index=0, stop=stop)
    optimiser = "net" if prior.net else "adam"
    effort = {"steps": steps, "restarts": 1}
    return descend(public, surrogate, objective, span, optimiser=optimiser, draw=draw, stop=stop, **effort)
