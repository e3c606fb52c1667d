"""Aiming at a size or a PSNR: what is said before, what each segment may take, and what was reached."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from neuralcipher.container import BundleWriter, Section
from neuralcipher.errors import UsageError
from neuralcipher.pipeline.kinds import SECTION_AUDIO, SECTION_FLOW, SECTION_GENERATOR
from neuralcipher.pipeline.options import CODING_S_PER_MEGAPIXEL, MIN_BUDGET_S, PRESETS, SealOptions
from neuralcipher.video.metadata import VideoInfo

PSNR_SLACK_DB = 0.1
_MOST_CODINGS = 5  # of the flow `latent` on its way to a target


def plan_sentence(info: VideoInfo, options: SealOptions, *, codes: bool, at_once: int = 1) -> str:
    """How much there is to do and how long it will take.

    codes: whether the flow codes before it trains. at_once: how many segments are fitted at the same time.
    """
    pixels = info.frames * info.width * info.height
    size = f"{info.frames} frames of {info.width}x{info.height}, {pixels / 1e6:.1f} megapixels"
    if at_once > 1:
        size += f", {at_once} segments at once"
    seconds = options.seconds(pixels) if options.budget_s is not None else options.seconds(pixels) / at_once
    why = "as asked"
    if options.budget_s is None:
        why = f"preset {options.preset}: {PRESETS[options.preset]:g} s per megapixel, at least {MIN_BUDGET_S:g} s"
    steps = options.flow_options.get("steps")
    budget = f"{_rounded(seconds)} s ({why})" if steps is None else f"{steps} steps"
    if not codes:
        return f"{size}: fitting for about {budget}"
    coding_s = CODING_S_PER_MEGAPIXEL * pixels / 1e6 / at_once
    coding, longest_s = f"about {_rounded(coding_s)} s", coding_s
    if options.has_target:
        longest_s *= _MOST_CODINGS
        coding = f"about {_rounded(coding_s)} to {_rounded(longest_s)} s to meet the target"
    if steps is not None:
        return f"{size}: coding takes {coding}, then {budget} of training"
    if longest_s > seconds:
        return f"{size}: coding takes {coding}, whatever the budget of {budget}"
    return f"{size}: about {budget}, of which coding takes {coding}"


def _rounded(seconds: float) -> str:
    return f"{seconds:.0f}" if seconds >= 10 else f"{seconds:.1f}"


def check_sound(sound_bytes: int, options: SealOptions) -> None:
    """Raises UsageError if the sound alone is larger than the size aimed at."""
    if options.target_bytes is not None and sound_bytes > options.target_bytes:
        raise UsageError(
            f"the sound takes {sound_bytes:,} bytes, more than the {options.target_bytes:,} aimed at",
            hint="aim at a larger size, or take the sound out of the video first",
        )


@dataclass(frozen=True, slots=True)
class Promised:
    """What a segment that is not written yet will take. generator_bytes: None as long as it is not known."""

    number: int
    frames: int
    generator_bytes: int | None
    flow_bytes: int


@dataclass(frozen=True, slots=True)
class SizePlan:
    """Shares a size among segments, so that the whole file keeps below it if every segment keeps to its share.

    metadata: as it will be stored. sound_bytes: of the section to come. generator, flow: names to be stored.
    """

    target_bytes: int
    metadata: Mapping[str, Any]
    sound_bytes: int
    generator: str
    flow: str

    def share(
        self,
        writer: BundleWriter,
        first: int,
        lengths: Sequence[int],
        generator_bytes: int,
        promised: Sequence[Promised] = (),
    ) -> int:
        """Bytes for the flow's section of segment `first`: by frames, of what is left to it and those after it.

        lengths: frames of the segments `first` and later. generator_bytes: of each of their generators. promised: the
        segments before it that are not written yet. At least 1.
        """
        frames = sum(lengths)
        free = 0
        for _ in range(2):  # longer sections have longer entries and more tags: known once their lengths are
            shares = [max(0, free * length // frames) for length in lengths]
            later = [Promised(n, length, None, shares[n - first]) for n, length in enumerate(lengths, first)]
            planned = self._planned([*promised, *later], generator_bytes)
            free += self.target_bytes - writer.finished_size(self.metadata, planned)
        return max(1, (free - len(lengths)) * lengths[0] // frames)

    def _planned(self, segments: Sequence[Promised], generator_bytes: int) -> list[Section]:
        planned = []
        for part in segments:
            size = generator_bytes if part.generator_bytes is None else part.generator_bytes
            planned.append(Section(SECTION_GENERATOR, part.number, 0, size, {"name": self.generator}))
            attributes = {"name": self.flow, "frames": part.frames}
            planned.append(Section(SECTION_FLOW, part.number, 0, part.flow_bytes, attributes))
        if self.sound_bytes:
            planned.append(Section(SECTION_AUDIO, 0, 0, self.sound_bytes))
        return planned


def missed(options: SealOptions, size_bytes: int, psnr_db: float) -> str | None:
    """One sentence if the target was not met, else None."""
    nearest = f"the nearest that the flow {options.flow} came"
    if options.target_bytes is not None and size_bytes > options.target_bytes:
        return f"aimed at {options.target_bytes:,} bytes, reached {size_bytes:,}, {nearest}"
    if options.target_psnr_db is not None and psnr_db < options.target_psnr_db - PSNR_SLACK_DB:
        return f"aimed at {options.target_psnr_db:g} dB, reached {psnr_db:.2f}, {nearest}"
    return None
