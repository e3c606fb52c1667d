"""How small and how good is a sealed bundle after a minute of fitting?

    python benchmarks/seal_quality.py [--seconds 60] [--quality 60] [--hidden 16] [--json FILE] VIDEO:WIDTHxHEIGHT [...]

Seals the first 64 frames of each video with the default flow and opens them again; every byte of the bundle counts
except the sound. Beside it x264 (medium, through PyAV) on the same frames, at the rate factor that is nearest in
PSNR: its bytes are those of the packets alone.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from fractions import Fraction
from io import BytesIO
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the command does

import av
import numpy as np

import neuralcipher
from neuralcipher.cli.process import prepare
from neuralcipher.container import BundleReader
from neuralcipher.pipeline.opening import open_stream
from neuralcipher.video.quality import psnr_db
from neuralcipher.video.reading import probe, read_frames

FRAMES = 64


class Sink:
    """A stream that throws away what is written."""

    def write(self, data: bytes) -> int:
        return len(data)

    def flush(self) -> None:
        """Nothing is kept."""


def x264(frames: list[np.ndarray], crf: int) -> tuple[int, float]:
    """Bytes of the packets and RGB PSNR of x264 medium."""
    file = BytesIO()
    size = 0
    with av.open(file, "w", format="mp4") as output:
        stream = output.add_stream("libx264", rate=25, options={"crf": str(crf), "preset": "medium"})
        stream.height, stream.width, _ = frames[0].shape
        stream.pix_fmt = "yuv420p"
        for index in range(len(frames) + 1):
            frame = None
            if index < len(frames):
                frame = av.VideoFrame.from_ndarray(frames[index], format="rgb24")
                frame.pts, frame.time_base = index, Fraction(1, 25)
            for packet in stream.encode(frame):
                size += packet.size
                output.mux(packet)
    file.seek(0)
    with av.open(file) as decoded:
        shown = [frame.to_ndarray(format="rgb24") for frame in decoded.decode(video=0)]
    return size, psnr_db(frames, shown)


def measure(item: str, seconds: float, flow_options: dict[str, object]) -> dict[str, object]:
    """One row of the table."""
    path, _, size = item.rpartition(":")
    key = neuralcipher.generate_key()
    with tempfile.TemporaryDirectory() as folder:
        bundle = Path(folder, "b.ncv")
        options = neuralcipher.SealOptions(
            budget_s=seconds, scale=size, max_frames=FRAMES, seed=0, flow_options=flow_options
        )
        report = neuralcipher.seal(path, bundle, keys=[key], options=options)
        with BundleReader.open(bundle) as reader:
            reader.unlock([key])
            sound = reader.section("audio")
        times = []
        for _ in range(3):
            started = time.perf_counter()
            open_stream(bundle, Sink(), keys=[key])
            times.append(time.perf_counter() - started)
        fps = report.frames / statistics.median(times)
    probed = probe(path, scale=size, max_frames=FRAMES)
    frames = list(read_frames(path, probed))
    peers = [(crf, *x264(frames, crf)) for crf in range(20, 40, 2)]
    crf, peer_bytes, peer_db = min(peers, key=lambda peer: abs(peer[2] - report.psnr_db))
    size_bytes = report.size_bytes - (sound.length if sound else 0)
    return {
        "clip": f"{Path(path).stem} {size}",
        "seconds": report.seconds,
        "size_bytes": size_bytes,
        "ratio_to_raw": round(report.raw_bytes / size_bytes, 1),
        "psnr_db": report.psnr_db,
        "ms_ssim": report.ms_ssim,
        "window": report.similarity,
        "open_fps": round(fps, 1),
        "x264_crf": crf,
        "x264_bytes": peer_bytes,
        "x264_psnr_db": round(peer_db, 2),
        "bytes_to_x264": round(size_bytes / peer_bytes, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", nargs="+")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--quality", type=int, default=60)
    parser.add_argument("--hidden", type=int, default=16)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    prepare()
    flow_options = {"quality": options.quality, "hidden": options.hidden}
    rows = [measure(clip, options.seconds, flow_options) for clip in options.clips]
    text = json.dumps({"rows": rows}, indent=2)
    print(text)
    if options.json:
        options.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
