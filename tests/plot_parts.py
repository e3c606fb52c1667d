"""Small results of every kind, made by hand."""

from __future__ import annotations

from neuralcipher.attacks.base import Measurement, Verdict, find
from neuralcipher.attacks.figures import Histogram
from neuralcipher.attacks.judge import Row
from neuralcipher.pipeline.comparing import ComparedRow, Comparison
from neuralcipher.pipeline.examining import Examination, Fit, FrameQuality
from neuralcipher.video.metadata import VideoInfo
from neuralcipher.video.quality import Quality

COMPARISON = Comparison(
    "v.mp4",
    2,
    10,
    8,
    1.0,
    "ssim 7x7",
    (
        ComparedRow("latent", 100, 4.8, 30.0, 0.9, 0.95, 0.1, 50.0, parameters=9, keyed=True),
        ComparedRow("x264 medium", 40, 12.0, 29.0, 0.9, 0.95, 0.1, 50.0, note="crf 30"),
        ComparedRow("bad<b>", error="it <failed>"),
    ),
)
VIDEO = VideoInfo(10, 8, (1, 25), (0, 1, 2, 3), (25, 1), (1, 1), 1, 1, 1, 1, "420", "v.mp4", 1)
FRAMES = tuple(FrameQuality(n, db, 0.9, 0.95) for n, db in ((0, 30.0), (1, 32.0), (3, 31.0)))
EXAMINED = Examination(
    "x.ncv", 1, "sealed", "aes-256-gcm", ("key",), 100, "", "", VIDEO, (), (), None, (), (),
    Fit("v.mp4", FRAMES, Quality(31.0, 30.9, 0.95, "ssim 7x7", 3, 0.9)),
)  # fmt: skip
NULL = Histogram("a null", "r", [n / 100 for n in range(200)], {"observed": 3.5})
ROW = Row(
    find("mean-frame").info, Verdict.NOT_BROKEN, 1.0, target=Measurement(0.1, "r", 5, p_value=0.5, figures=(NULL,))
)
