"""What makes two sealings the same, so that one can go on where the other was stopped."""

from __future__ import annotations

import dataclasses
from hashlib import sha256
from pathlib import Path
from typing import Any

import neuralcipher
from neuralcipher.pipeline.options import SealOptions
from neuralcipher.video.reading import Probe

_PIECE_BYTES = 1 << 20


def identity(source: Path, probed: Probe, options: SealOptions) -> dict[str, Any]:
    """By name, what must be equal; the video by its content, which is read as a whole."""
    info = probed.info
    chosen = {field.name: getattr(options, field.name) for field in dataclasses.fields(options)}
    chosen["flow_options"] = sorted((name, str(value)) for name, value in options.flow_options.items())
    return {
        "video": _digest(source),
        "frames or size": [info.frames, info.height, info.width],
        "version of neuralcipher": neuralcipher.__version__,
        **{name.replace("_", " "): value for name, value in chosen.items()},
    }


def _digest(source: Path) -> str:
    if not source.is_dir():
        return _file_digest(source)
    entries = sorted(entry for entry in source.iterdir() if entry.is_file())
    return sha256("".join(f"{entry.name}\0{_file_digest(entry)}\n" for entry in entries).encode()).hexdigest()


def _file_digest(path: Path) -> str:
    digest = sha256()
    with path.open("rb") as file:
        while piece := file.read(_PIECE_BYTES):
            digest.update(piece)
    return digest.hexdigest()
