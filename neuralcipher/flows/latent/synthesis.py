"""From integers to frames: motion-compensated prediction, the inverse transform."""

from __future__ import annotations

from collections.abc import Set

import torch
from torch import Tensor

from neuralcipher.flows.latent.history import FrameLatents
from neuralcipher.flows.latent.motion import Motion
from neuralcipher.flows.latent.structure import CodedFrame
from neuralcipher.flows.latent.transform import inverse_transform
from neuralcipher.flows.latent.warp import CHANNELS, Reference, predict

_STEPS_PER_OCTAVE = 16
_STEP_AT_ZERO = 2.0
# Frames that others depend on get a finer step; in sixths of an octave.
_LEVEL_OFFSETS = (-1, 0, 1, 2, 3, 3)
_HALVES = torch.tensor([[2, 0, 1, 0], [0, 2, 1, 0]])  # (references, modes)


def step_size(quality: int, level: int) -> float:
    """The quantisation step at a quality (0..100) and level, in units of an orthonormal coefficient of [0, 1]."""
    return float(_STEP_AT_ZERO * 2.0 ** (_LEVEL_OFFSETS[level] / 6 - quality / _STEPS_PER_OCTAVE))


class Synthesis:
    """Turns stored frames into pictures, each from the ones before it in coding order."""

    def __init__(self, quality: int, device: torch.device) -> None:
        self._quality, self._device = quality, device
        self._references: dict[int, Reference] = {}
        self._frames: dict[int, Tensor] = {}

    def reference(self, index: int) -> Reference:
        """A decoded frame, ready to be predicted from."""
        if index not in self._references:
            self._references[index] = Reference(self._frames.pop(index))
        return self._references[index]

    def predict(self, frame: CodedFrame, motion: Motion) -> Tensor:
        """The prediction of a frame, (H, W, 4)."""
        mode = torch.from_numpy(motion.mode).to(self._device)
        vectors = torch.from_numpy(motion.vectors).to(self._device)
        halves = _HALVES.to(self._device)[:, mode]
        used = [] if frame.first < 0 else [i for i in (0, 1) if halves[i].any()]
        if not used:
            height, width = motion.mode.shape
            return torch.zeros(8 * height, 8 * width, CHANNELS, device=self._device)
        references = [self.reference((frame.first, frame.second)[i]) for i in used]
        part = slice(used[0], used[-1] + 1)
        return predict(references, vectors[part], halves[part])

    def finish(self, stored: FrameLatents, prediction: Tensor) -> tuple[Tensor, Tensor]:
        """Add the residual and keep the result; returns the frame and the residual, (H, W, 4) each."""
        step = step_size(self._quality, stored.frame.level)
        latents = torch.from_numpy(stored.latents.transpose(2, 3, 0, 1)).to(self._device)
        residual = inverse_transform(latents, step)
        frame = prediction + residual
        self._frames[stored.frame.index] = frame
        return frame, residual

    def drop(self, index: int) -> None:
        """Forget a frame that no other is predicted from."""
        self._frames.pop(index, None)

    def forget(self, keep: Set[int]) -> None:
        """Drop every frame that is not in `keep`."""
        self._references = {index: ref for index, ref in self._references.items() if index in keep}
        self._frames = {index: frame for index, frame in self._frames.items() if index in keep}
