"""What the recurrent network is trained on: subsequences of the video, recalled from a true start, ever longer ones."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from neuralcipher.flows.pictures import to_unit
from neuralcipher.flows.recurrent.config import RecurrentConfig
from neuralcipher.flows.training import Apply

_GROWS_UNTIL = 0.6  # of the time; the rest is for the longest
_SMOOTHING = 0.1
_FEWEST_STEPS = 20


class Curriculum:
    """Recalls random subsequences of frames (N, C, H, W) uint8, a window at a time, without teacher forcing.

    A recall longer than the window goes on in the next step from its own last state, through which no gradient
    flows: memory depends on the window alone. Source: Neural Video Encoding, eq. 2 and the text below it.
    """

    def __init__(self, frames: Tensor, config: RecurrentConfig, seed: int, device: torch.device) -> None:
        self._frames, self._config, self._device = frames, config, device
        self._draw = torch.Generator().manual_seed(seed)
        self._lengths = subsequence_lengths(config, len(frames))
        self._stage = 0
        self._steps = 0
        self._mean = math.inf
        self._state: Tensor | None = None
        self._starts = torch.empty(0, dtype=torch.long)
        self._done = 0

    @property
    def length(self) -> int:
        """Frames that a subsequence has after its true start, at present."""
        return self._lengths[self._stage]

    def loss(self, network: Apply, done: float) -> Tensor:
        """Mean squared error of one window of a recall; d frames are compared at each application."""
        state = self._begin(done) if self._state is None else self._state
        errors = []
        for _ in range(min(self._config.window, self.length - self._done)):
            self._done += 1
            y = network(state).float()
            errors.append(F.mse_loss(y, self._truth(self._done)))
            state = y.clamp(0, 1)
        loss = torch.stack(errors).mean()
        value = float(loss.detach())
        self._steps += 1
        self._mean = value if self._steps == 1 else (1 - _SMOOTHING) * self._mean + _SMOOTHING * value
        ended = self._done == self.length or not math.isfinite(value)
        self._state = None if ended else state.detach()
        return loss

    def _grow(self, done: float) -> None:
        """Go to the next length once this one is learned or its time is over."""
        last = len(self._lengths) - 1
        objective = 10 ** (-self._config.curriculum_db / 10)
        while self._stage < last:
            learned = self._steps >= _FEWEST_STEPS and self._mean < objective
            if not learned and done < _GROWS_UNTIL * (self._stage + 1) / last:
                return
            self._stage, self._steps, self._mean = self._stage + 1, 0, math.inf

    def _begin(self, done: float) -> Tensor:
        """The true states at distinct random starts, as many as make a step of about `batch` applications."""
        self._grow(done)
        possible = len(self._frames) - self._config.dilation - self.length + 1
        wanted = max(1, self._config.batch // min(self.length, self._config.window))
        self._starts = torch.randperm(possible, generator=self._draw)[:wanted]
        self._done = 0
        return self._truth(0)

    def _truth(self, step: int) -> Tensor:
        """The state (B, d C, H, W) that is right after so many applications."""
        d = self._config.dilation
        index = self._starts[:, None] + step + torch.arange(d)
        return to_unit(self._frames[index].to(self._device)).flatten(1, 2)


def subsequence_lengths(config: RecurrentConfig, count: int) -> list[int]:
    """1, 2, 4, ... or as the options say; the last is never longer than what follows the d stored frames."""
    longest = config.curriculum_to or max(1, count - config.dilation)
    length = config.curriculum_from or longest
    lengths = []
    while length < longest:
        lengths.append(length)
        length *= 2
    return [*lengths, longest]
