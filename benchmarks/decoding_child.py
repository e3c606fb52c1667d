"""What does it cost to decode in a child process with limits instead of in the process itself?

    python benchmarks/decoding_child.py [--runs 7] [CLIP ...]

A survey of the video and a reading of all its frames, in turn in this process and through the child, on the carried
clip at 320x180 and at 1280x720 (scaled and encoded again), or on the clips given. CPU seconds of all threads of both
processes; medians, and the median of the ratios of neighbours. `start` is what starting and ending a child takes: it
is part of a run, and told apart in `ratio_without_start`.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np

import neuralcipher
from neuralcipher.errors import VideoError
from neuralcipher.video import session
from neuralcipher.video.pixels import PIXEL_BYTES, ToRgb
from neuralcipher.video.reading import probe, read_frames
from neuralcipher.video.rgb import upright
from neuralcipher.video.source import Decoder, Feed
from neuralcipher.video.survey import Survey
from neuralcipher.video.writing import write_video


def in_process(clip: Path) -> None:
    """What the child does, here, up to the array that a reader gets."""
    feed = Feed(clip)
    plan = Survey(feed, None, None).run(False).plan
    to_rgb = ToRgb(plan)
    for frame, _ in Decoder(feed).frames():
        picture = to_rgb.convert(frame)
        row = plan.width * PIXEL_BYTES[picture.layout]
        pixels = np.array(picture.pixels).reshape(plan.height, picture.stride)[:, :row]
        upright(pixels.reshape(plan.height, plan.width, -1), plan.orientation, picture.full)


def in_child(clip: Path) -> None:
    """The same through a child of its own."""
    for _ in read_frames(clip, probe(clip)):
        pass
    session.forget()


def start(clip: Path) -> None:
    """A child that starts, refuses what is no video, and ends."""
    with tempfile.NamedTemporaryFile(suffix=".txt") as file, suppress(VideoError):
        file.write(b"no video")
        file.flush()
        probe(file.name)
    session.forget()


def cpu_s(work: Callable[[Path], None], clip: Path) -> tuple[float, float]:
    """CPU and wall seconds of some work, with its children."""
    before, began = _used(), time.perf_counter()
    work(clip)
    return _used() - before, time.perf_counter() - began


def _used() -> float:
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def measured(clip: Path, runs: int) -> dict[str, object]:
    info = probe(clip).info
    rounds = [[cpu_s(work, clip) for work in (in_process, in_child, start)] for _ in range(runs + 1)][1:]

    def median(number: int, what: int) -> float:
        return statistics.median(one[number][what] for one in rounds)

    return {
        "size": f"{info.width}x{info.height}",
        "frames": info.frames,
        "in_process_cpu_ms_per_frame": round(1000 * median(0, 0) / info.frames, 3),
        "child_cpu_ms_per_frame": round(1000 * median(1, 0) / info.frames, 3),
        "start_cpu_ms": round(1000 * median(2, 0)),
        "start_wall_ms": round(1000 * median(2, 1)),
        "ratio": round(statistics.median(b[0] / a[0] for a, b, _ in rounds), 3),
        "ratio_without_start": round(statistics.median((b[0] - c[0]) / a[0] for a, b, c in rounds), 3),
        "wall_ratio": round(statistics.median(b[1] / a[1] for a, b, _ in rounds), 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("clips", metavar="CLIP", nargs="*", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        clips = options.clips
        if not clips:
            small = neuralcipher.demo_clip()
            large = Path(folder, "720.mp4")
            probed = probe(small, scale=(1280, 720))
            write_video(large, probed.info, read_frames(small, probed), format="mp4", crf=23, preset="medium")
            clips = [small, large]
        print(json.dumps([measured(clip, options.runs) for clip in clips], indent=2))


if __name__ == "__main__":
    main()
