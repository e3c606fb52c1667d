"""What a caller may choose, and what it is told while the work goes on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from neuralcipher.container import DEFAULT_AEAD, SUITE_SEALED
from neuralcipher.errors import UsageError

PRESETS: Mapping[str, float] = {"fast": 5.0, "balanced": 16.0, "best": 80.0}
"""Seconds per megapixel (all frames together) on two cores."""

CODING_S_PER_MEGAPIXEL = 5.0
"""What the flow `latent` takes of them merely to code, whatever the budget; training gets the rest."""

MIN_BUDGET_S = 5.0

_LOWEST_DB, _HIGHEST_DB = 10.0, 60.0


@dataclass(frozen=True, slots=True)
class Progress:
    """One report: stage "reading", "generator", "fitting", "checking", "writing"; fraction 0..1 of that stage.

    While fitting also step, PSNR in dB of the frames last looked at, and the expected size of the payload; of a video
    in several segments these are of the segment last heard of, and `finished` of `segments` are done.
    """

    stage: str
    fraction: float
    step: int = 0
    psnr_db: float = 0.0
    size_bytes: int = 0
    finished: int = 0
    segments: int = 1


ProgressCallback = Callable[[Progress], None]
"""Called often and from the calling thread; raise CancelledError from it to stop."""


def silent(progress: Progress) -> None:
    """A callback that shows nothing."""


@dataclass(frozen=True, slots=True)
class SealOptions:
    """How to seal.

    preset: a key of PRESETS; budget_s: seconds for fitting the whole video instead. flow_options: fields of the
    flow's configuration. target_bytes: what the bundle, with its sound, should take at most; target_psnr_db: the PSNR
    that the pictures should have at least; one of the two at most, and no quality in flow_options beside it.
    suite: "sealed" or "bare". aead: of the sealed suite. seed: makes the training draws and the public generator seed
    reproducible (keys and salts stay random). device: "auto", "cpu" or "cuda".
    scale: "WxH", see `neuralcipher.video.reading.parse_size`. max_frames: seal only the first so many.
    segment_frames: at most so many frames in a segment, the unit that is fitted and opened alone (default 256, fewer of
    large pictures). strict: refuse a damaged video. include_private: in a bare bundle, also store sound and file
    name in clear.
    """

    generator: str = "feistel"
    flow: str = "latent"
    flow_options: Mapping[str, object] = field(default_factory=dict)
    preset: str = "balanced"
    budget_s: float | None = None
    suite: str = SUITE_SEALED
    aead: str = DEFAULT_AEAD
    seed: int | None = None
    device: str = "auto"
    scale: str | None = None
    max_frames: int | None = None
    segment_frames: int | None = None
    strict: bool = False
    include_private: bool = False
    target_bytes: int | None = None
    target_psnr_db: float | None = None

    def __post_init__(self) -> None:
        if self.preset not in PRESETS:
            raise UsageError(f"no preset is called {self.preset!r}", hint=f"there are: {', '.join(PRESETS)}")
        if self.budget_s is not None and not 0 < self.budget_s < 1e7:
            raise UsageError(f"a budget of {self.budget_s} s cannot be kept", hint="pass seconds above 0")
        if self.segment_frames is not None and self.segment_frames < 1:
            raise UsageError(f"a segment cannot have {self.segment_frames} frames", hint="pass 1 or more")
        self._check_target()

    @property
    def has_target(self) -> bool:
        """Whether a size or a PSNR is aimed at."""
        return self.target_bytes is not None or self.target_psnr_db is not None

    def _check_target(self) -> None:
        if self.target_bytes is not None and self.target_psnr_db is not None:
            raise UsageError("a size and a PSNR cannot both be aimed at", hint="pass one of the two")
        if self.target_bytes is not None and self.target_bytes <= 0:
            raise UsageError(f"a size of {self.target_bytes} bytes cannot be met", hint="aim at a size above 0")
        if self.target_psnr_db is not None and not _LOWEST_DB <= self.target_psnr_db <= _HIGHEST_DB:
            raise UsageError(
                f"a PSNR of {self.target_psnr_db:g} dB cannot be aimed at",
                hint=f"choose one within {_LOWEST_DB:g}..{_HIGHEST_DB:g} dB",
            )
        if self.has_target and "quality" in self.flow_options:
            raise UsageError(
                "a target chooses the quality, so both cannot be given", hint="leave out the quality, or the target"
            )

    def seconds(self, pixels: int) -> float:
        """The budget for a video of so many pixels, all frames together."""
        if self.budget_s is not None:
            return self.budget_s
        return max(MIN_BUDGET_S, PRESETS[self.preset] * pixels / 1e6)


@dataclass(frozen=True, slots=True)
class SealReport:
    """What was sealed; the fields of `ncipher seal --json`."""

    bundle: str
    size_bytes: int
    raw_bytes: int
    source_bytes: int
    frames: int
    width: int
    height: int
    psnr_db: float
    ms_ssim: float
    similarity: str
    seconds: float
    suite: str
    generator: str
    flow: str
    segments: int
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class OpenReport:
    """What was opened; the fields of `ncipher open --json`."""

    output: str
    frames: int
    seconds: float
