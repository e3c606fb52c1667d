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
_WEIGHTS = torch.tensor([[1.0, 0.0, 0.5, 0.0], [0.0, 1.0, 0.5, 0.0]])


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
        height, width = motion.mode.shape
        parts = []
        if frame.first >= 0:
            mode = torch.from_numpy(motion.mode).to(self._device)
            vectors = torch.from_numpy(motion.vectors).to(self._device)
            for number, index in enumerate((frame.first, frame.second)):
                weight = _WEIGHTS.to(self._device)[number][mode]
                if weight.any():
                    parts.append(predict(self.reference(index), vectors[number], weight))
        if not parts:
            return torch.zeros(8 * height, 8 * width, CHANNELS, device=self._device)
        return parts[0] if len(parts) == 1 else parts[0] + parts[1]

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
