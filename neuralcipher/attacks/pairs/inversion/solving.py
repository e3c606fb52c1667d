"""What solves for a latent: gradient descent on a surrogate, or a search that sees outputs alone.

Everything here is the attacker: it takes views, and returns a guess that the referee judges.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from neuralcipher.attacks.pairs.inversion.surrogate import Differentiable, Growth, Surrogate, rounded
from neuralcipher.attacks.views import KnownFrames, Public
from neuralcipher.errors import ShapeError
from neuralcipher.generators.base import Generator, Keystream

Objective = Callable[[Sequence[Tensor]], Tensor]
"""Frames 0..n-1 of a batch of guesses, each (B, 3, H, W) in [0, 1], to (B,) losses."""

Stop = Callable[[], bool]
"""Whether the time is spent."""

_FIRST_RATE = 12.0
_LAST_RATE = 0.5
_HISTORY = 40
_NET_RATE = 0.02
_NET_CHANNELS = 16


@dataclass(frozen=True, slots=True)
class Answer:
    """A guess of z_index. index: 1 is the latent of frame 0.

    loss: of the objective on the frames that the guess really shows, after rounding to bytes; initial_loss: of where
    it started. history: losses on the way, on the surrogate. gradient: the first gradient's norm (losses in [0, 1]^2
    per byte), 0 without one. growth: of the gradient by one step of g, its median over all steps, None without one.
    """

    latent: Tensor
    index: int
    loss: float
    initial_loss: float
    history: tuple[float, ...] = ()
    gradient: float = 0.0
    growth: float | None = None


class Continued(Keystream):
    """The keystream from a guessed z_index on; what comes before is not known."""

    def __init__(self, generator: Generator, latent: Tensor, index: int) -> None:
        super().__init__(generator, latent)
        self._base = index

    def latent(self, index: int) -> Tensor:
        """z_index; raises ShapeError before the guessed one."""
        if index < self._base:
            raise ShapeError(f"z_{index} comes before the guessed z_{self._base}")
        return self._z0 if index == self._base else super().latent(index - self._base)


def show_from(public: Public, latent: Tensor, index: int, start: int, stop: int) -> Tensor:
    """Frames start..stop-1 that a guess of z_index shows, (n, 3, H, W) uint8."""
    stream = Continued(public.generator, latent, index)
    return torch.stack(list(public.flow.render(public.section, stream, torch.device("cpu"), start, stop)))


def known_objective(frames: Mapping[int, Tensor]) -> Objective:
    """Mean squared error over the known frames, in [0, 1]^2, of those that are shown."""
    truth = {index: frame.float() / 255 for index, frame in frames.items()}

    def loss(shown: Sequence[Tensor]) -> Tensor:
        errors = [(shown[i] - x).square().flatten(1).mean(1) for i, x in truth.items() if i < len(shown)]
        return torch.stack(errors).mean(0)

    return loss


def never() -> bool:
    """No clock."""
    return False


def invert(
    view: KnownFrames,
    surrogate: Surrogate,
    *,
    optimiser: str,
    steps: int,
    restarts: int,
    draw: torch.Generator,
    stop: Stop = never,
) -> Answer:
    """Find z_1 from frames 0..k-1 by "adam" or "lbfgs": the first half of the steps on frame 0 alone, a problem
    without g, the rest on all of them."""
    objective, span = known_objective(view.frames), len(view.frames)
    effort = {"steps": steps, "restarts": restarts}
    return descend(view.public, surrogate, objective, span, optimiser=optimiser, draw=draw, stop=stop, **effort)


def descend(
    public: Public,
    surrogate: Surrogate,
    objective: Objective,
    span: int,
    *,
    optimiser: str,
    steps: int,
    restarts: int,
    draw: torch.Generator,
    stop: Stop = never,
) -> Answer:
    """Minimise the objective of frames 0..span-1 over z_1; the best of `restarts` by what the bytes really show.

    optimiser: "adam", "lbfgs", or "net": Adam on the weights of a small convolutional net whose output z_1 is (the
    deep image prior; Ulyanov et al., 2018). draw: of the starts.
    """
    if surrogate.show is None:
        raise ShapeError("a flow without gradients cannot be descended")
    shape = (restarts, *public.latent_shape)
    start = torch.randint(0, 256, shape, generator=draw).double()
    problem = _Problem(surrogate.show, surrogate.step, objective, span, stop)
    runner = {"adam": _adam, "lbfgs": _lbfgs, "net": _net}[optimiser]
    end = runner(problem, start, steps, draw)
    latents = end.detach().nan_to_num(0.0).round().clamp(0, 255).to(torch.uint8)
    losses = [exact_loss(public, z, 1, objective, span) for z in latents]
    best = int(np.argmin(losses))
    initial = exact_loss(public, start[best].to(torch.uint8), 1, objective, span)
    growth = float(np.median(problem.growth.factors)) if problem.growth.factors else None
    history = tuple(problem.history)
    return Answer(latents[best], 1, losses[best], initial, history, problem.first_gradient or 0.0, growth)


def search(
    public: Public,
    objective: Objective,
    span: int,
    *,
    evaluations: int,
    draw: torch.Generator,
    index: int = 1,
    stop: Stop = never,
) -> Answer:
    """Evolution without gradients: random latents first, then the best one with ever fewer of its bytes redrawn.

    index: of the latent that is searched: 1, or 0 for a flow that needs the keystream from its start.
    """
    best = torch.randint(0, 256, public.latent_shape, generator=draw, dtype=torch.uint8)
    least = initial = exact_loss(public, best, index, objective, span)
    history = [least]
    for number in range(1, evaluations):
        if stop():
            break
        fresh = torch.randint(0, 256, public.latent_shape, generator=draw, dtype=torch.uint8)
        share = 1.0 if number < evaluations / 3 else 0.5 ** (12 * (number / evaluations - 1 / 3))
        redrawn = torch.rand(public.latent_shape, generator=draw) < share
        candidate = torch.where(redrawn, fresh, best)
        loss = exact_loss(public, candidate, index, objective, span)
        if loss < least:
            best, least = candidate, loss
        history.append(least)
    return Answer(best, index, least, initial, tuple(history))


def exact_loss(public: Public, latent: Tensor, index: int, objective: Objective, span: int) -> float:
    """The objective of the frames that the bytes of a guess really show."""
    frames = show_from(public, latent, index, 0, span).float() / 255
    with torch.no_grad():
        return float(objective([frame[None] for frame in frames]))


@dataclass(slots=True)
class _Problem:
    """The loss on the surrogate, and what was seen on the way."""

    show: Differentiable
    step: Differentiable | None
    objective: Objective
    span: int
    stop: Stop
    growth: Growth = field(default_factory=lambda: Growth([]))
    history: list[float] = field(default_factory=list)
    first_gradient: float | None = None

    def losses(self, z: Tensor, span: int) -> Tensor:
        """(B,) losses of the first `span` frames; as many as g has gradients for."""
        shown = [self.show(z)]
        for _ in range(span - 1):
            if self.step is None:
                break
            z = self.growth.through(self.step, rounded(z))
            shown.append(self.show(z))
        return self.objective(shown)

    def span_at(self, number: int, steps: int) -> int:
        """The first half of the steps uses the first frame alone."""
        return 1 if number < steps / 2 else self.span

    def descend(self, z: Tensor, leaves: Sequence[Tensor], span: int) -> float:
        """Put gradients of the losses' sum into the leaves; returns it."""
        losses = self.losses(z, span)
        self.history.append(float(losses.detach().min()))
        if losses.requires_grad:
            torch.autograd.backward(losses.sum(), inputs=list(leaves))
        gradients = [torch.zeros_like(leaf) if leaf.grad is None else leaf.grad.nan_to_num(0.0) for leaf in leaves]
        for leaf, gradient in zip(leaves, gradients, strict=True):
            leaf.grad = gradient
        if self.first_gradient is None:
            self.first_gradient = math.sqrt(sum(float(gradient.square().sum()) for gradient in gradients))
        return float(losses.detach().sum())


def _adam(problem: _Problem, start: Tensor, steps: int, draw: torch.Generator) -> Tensor:
    z = start.clone().requires_grad_()
    optimiser = torch.optim.Adam([z], lr=_FIRST_RATE)
    for number in range(steps):
        if problem.stop():
            break
        cooled = 0.5 + 0.5 * math.cos(math.pi * number / max(1, steps - 1))
        for group in optimiser.param_groups:
            group["lr"] = _LAST_RATE + (_FIRST_RATE - _LAST_RATE) * cooled
        optimiser.zero_grad()
        problem.descend(z, [z], problem.span_at(number, steps))
        optimiser.step()
        with torch.no_grad():
            z.clamp_(0, 255)
    return z


def _lbfgs(problem: _Problem, start: Tensor, steps: int, draw: torch.Generator) -> Tensor:
    z = start.clone().requires_grad_()
    scale = float(start[0].numel())  # of the loss: else its gradients are below the tolerances
    for span in dict.fromkeys((1, problem.span)):
        if problem.stop():
            break
        budget = steps if problem.span == 1 else max(1, steps // 2)
        optimiser = torch.optim.LBFGS(
            [z],
            max_iter=budget,
            max_eval=budget,
            tolerance_grad=0,
            tolerance_change=0,
            history_size=_HISTORY,
            line_search_fn="strong_wolfe",
        )

        def closure(span: int = span, optimiser: torch.optim.Optimizer = optimiser) -> Tensor:
            optimiser.zero_grad()
            loss = problem.descend(z, [z], span)
            z.grad = None if z.grad is None else z.grad * scale
            return torch.tensor(loss * scale, dtype=torch.float64)

        optimiser.step(closure)  # type: ignore[no-untyped-call]
        with torch.no_grad():
            z.clamp_(0, 255)
    return z


def _net(problem: _Problem, start: Tensor, steps: int, draw: torch.Generator) -> Tensor:
    channels = start.shape[1]
    layers = [
        nn.Conv2d(channels, _NET_CHANNELS, 3, padding=1),
        nn.LeakyReLU(0.1),
        nn.Conv2d(_NET_CHANNELS, _NET_CHANNELS, 3, padding=1),
        nn.LeakyReLU(0.1),
        nn.Conv2d(_NET_CHANNELS, channels, 3, padding=1),
    ]
    net = nn.Sequential(*layers)
    for parameter in net.parameters():
        fan_in = parameter[0].numel()
        drawn = torch.randn(parameter.shape, generator=draw) * math.sqrt(2 / fan_in)
        parameter.data = drawn if parameter.dim() > 1 else torch.zeros(parameter.shape)
    seen = (start / 128 - 1).float()
    optimiser = torch.optim.Adam(net.parameters(), lr=_NET_RATE)
    for number in range(steps):
        if problem.stop():
            break
        optimiser.zero_grad()
        z = 255 * torch.sigmoid(net(seen)).double()
        problem.descend(z, list(net.parameters()), problem.span_at(number, steps))
        optimiser.step()
    with torch.no_grad():
        return 255 * torch.sigmoid(net(seen)).double()
