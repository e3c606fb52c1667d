"""Options of the recurrent flow, and what they may be."""

from __future__ import annotations

from dataclasses import dataclass

from neuralcipher.errors import UsageError
from neuralcipher.flows.training import ADAM, LAMB, check_range, check_weight_bits

NAME = "recurrent"
MAX_NCONV = 256
MAX_DILATION = 16
MAX_STAGES = 4
MAX_UPSCALE = 8
_MAX_WINDOW = 256


@dataclass(frozen=True, slots=True)
class RecurrentConfig:
    """Options of the recurrent flow.

    nconv: filters per layer. dilation: d, frames that the network sees and makes at once.
    curriculum_from, curriculum_to: the lengths of the subsequences trained on grow from the first to the second;
    0 is the whole video for either, so that curriculum_from=0 turns the curriculum off. curriculum_db: a length
    counts as learned at this PSNR, and the next begins; it begins anyway when its time comes.
    window: applications between which gradients flow; longer subsequences are cut there. batch: applications per
    training step, at least; short subsequences are batched. optimiser: 0 Adam, 1 LARS, 2 LAMB.
    keyframe_threshold: store a true frame wherever recall falls below so many dB; 0 is never.
    keyframe_bytes: store as many as fit in so many bytes, where they are needed most; 0 is none.
    stages: M, networks that repair each frame (eq. 3). stage_nconv: filters of those; 0 is nconv. residual: 1 lets
    them add to the frame; 0, as the paper has it, lets them draw it anew.
    upscale: the sequence is advanced at a size so many times smaller, and the stages repair it at full size.
    weight_bits: of the stored weights, 2..8, 16 or 32. half: 1 trains in FP16.
    steps: train for so many steps in all instead of for a time.
    """

    nconv: int = 32
    dilation: int = 1
    curriculum_from: int = 1
    curriculum_to: int = 0
    curriculum_db: int = 36
    window: int = 8
    batch: int = 8
    optimiser: int = LAMB
    keyframe_threshold: int = 0
    keyframe_bytes: int = 0
    stages: int = 0
    stage_nconv: int = 0
    residual: int = 0
    upscale: int = 1
    weight_bits: int = 8
    half: int = 0
    steps: int | None = None

    def __post_init__(self) -> None:
        limits = {
            "nconv": (1, MAX_NCONV),
            "dilation": (1, MAX_DILATION),
            "curriculum_from": (0, 1 << 16),
            "curriculum_to": (0, 1 << 16),
            "curriculum_db": (1, 100),
            "window": (1, _MAX_WINDOW),
            "batch": (1, _MAX_WINDOW),
            "optimiser": (ADAM, LAMB),
            "keyframe_threshold": (0, 100),
            "keyframe_bytes": (0, 1 << 30),
            "stages": (0, MAX_STAGES),
            "stage_nconv": (0, MAX_NCONV),
            "residual": (0, 1),
            "upscale": (1, MAX_UPSCALE),
            "half": (0, 1),
            "steps": (0, 10**9),
        }
        check_range(NAME, self, limits)
        check_weight_bits(NAME, self.weight_bits)
        if self.curriculum_to and self.curriculum_from > self.curriculum_to:
            raise UsageError(
                f"a curriculum cannot shrink, from {self.curriculum_from} to {self.curriculum_to} frames",
                hint="make curriculum_to the larger one",
            )
        if self.keyframe_threshold and self.keyframe_bytes:
            raise UsageError(
                "key-frames follow a threshold or a budget, not both",
                hint="leave out keyframe_threshold or keyframe_bytes",
            )
        if self.upscale > 1 and not self.stages:
            raise UsageError(
                "upscale needs a network that repairs the enlarged frames", hint="pass stages=1 too, or leave it out"
            )

    def check_length(self, count: int) -> None:
        """Raise UsageError if a video of `count` frames is too short for these options."""
        if self.dilation >= count and self.dilation > 1:
            raise UsageError(
                f"a dilation of {self.dilation} needs more than {self.dilation} frames, and there are {count}",
                hint="choose a smaller dilation",
            )
        longest = max(1, count - self.dilation)
        for name in ("curriculum_from", "curriculum_to"):
            if getattr(self, name) > longest:
                raise UsageError(
                    f"{name} is {getattr(self, name)} frames, and only {longest} follow the stored ones",
                    hint=f"choose at most {longest}, or 0 for the whole video",
                )
