"""An examination and a summary with everything that a page may have to show, made by hand."""

from __future__ import annotations

import numpy as np
from report_parts import Finished

from neuralcipher.attacks.report.summary import Summary, summarised
from neuralcipher.container import Problem, Section
from neuralcipher.pipeline.examining import Examination, Fit, FrameQuality, Share, ShownPicture, Sound
from neuralcipher.pipeline.stored import StoredSegment
from neuralcipher.video.metadata import VideoInfo
from neuralcipher.video.quality import Quality

NOISE = np.random.default_rng(0)
COUNT, SEGMENTS = 1000, 100
NAME = "a_rather_long_name_of_a_file_without_a_single_space_in_it_<b>_&_more.mp4"
VIDEO = VideoInfo(320, 180, (1, 25), tuple(range(COUNT)), (25, 1), (1, 1), 1, 1, 1, 1, "420", NAME, 12_345_678)


def picture() -> np.ndarray:
    return NOISE.integers(0, 256, (45, 80, 3), dtype=np.uint8)


def segments() -> tuple[StoredSegment, ...]:
    frames = COUNT // SEGMENTS
    return tuple(
        StoredSegment(
            n, frames, "feistel", Section("generator", n, 0, 36), "latent", Section("flow", n, 0, 4000), 180, 320
        )
        for n in range(SEGMENTS)
    )


def attacked() -> Summary:
    return summarised(Finished())


def examined() -> Examination:
    frames = tuple(FrameQuality(n, 30 + np.sin(n / 50), 0.95, 0.98) for n in range(COUNT))
    return Examination(
        name="bundle_<i>.ncv",
        version=1,
        suite="bare",
        aead="chacha20-poly1305",
        slots=("key", "passphrase"),
        size_bytes=450_000,
        sha256="ab" * 32,
        tool="neuralcipher 0.1.0",
        video=VIDEO,
        segments=segments(),
        shares=(
            Share("flow", 400_000, SEGMENTS),
            Share("generator", 3_600, SEGMENTS),
            Share("audio", 40_000, 1),
            Share("<u>\u202eodd", 1_000, 1),
            Share("header, directory, tags", 5_400, 0),
        ),
        sound=Sound("aac", 48_000, "stereo", 400, 39_000),
        problems=(Problem("the payload of <s> is damaged at byte 7", 0, 7, (("flow", 3), ("generator", 3))),),
        pictures=(
            *(ShownPicture(n, n / 25, picture(), picture()) for n in (0, 250, 500)),
            ShownPicture(999, 39.96, None, picture()),
        ),
        fit=Fit(NAME, frames, Quality(30.1, 30.0, 0.98, "ms-ssim 11x11", COUNT, 0.95)),
    )
