"""What the user may name as a video: a file, or a folder of pictures. Looks at names only; opens nothing."""

from __future__ import annotations

import os
import re
from fractions import Fraction
from pathlib import Path

from neuralcipher.errors import UsageError, VideoError

IMAGE_SUFFIXES = {".png", ".jpg", ".jpeg"}
FOLDER_RATE = Fraction(25)


def existing(path: str | os.PathLike[str]) -> Path:
    """Return the path if it is a readable, non-empty file or a folder. Raises UsageError, VideoError."""
    found = Path(path)
    name = found.name or str(found)
    try:
        if found.is_dir():
            return found
        if not found.exists():
            raise UsageError(f"there is no file {name}", hint="check the path")
        if not found.is_file():
            raise UsageError(f"{name} is not a regular file", hint="copy it to a file first")
        if found.stat().st_size == 0:
            raise VideoError(f"{name} is empty", hint="check that it was copied completely")
    except OSError as error:
        raise UsageError(f"{name} cannot be read: {_reason(error)}", hint="check the path") from None
    return found


def images_in(folder: Path) -> list[Path]:
    """The PNG and JPEG files of a folder, 2 before 10. Raises UsageError if there are none."""
    name = folder.name or folder
    try:
        found = [entry for entry in folder.iterdir() if entry.suffix.lower() in IMAGE_SUFFIXES and entry.is_file()]
    except OSError as error:
        raise UsageError(f"the folder {name} cannot be read: {_reason(error)}", hint="check its permissions") from None
    if not found:
        raise UsageError(
            f"the folder {name} holds no PNG or JPEG frames", hint="pass a video file, or put frames there"
        )
    return sorted(found, key=_natural)


def _reason(error: OSError) -> str:
    return (error.strerror or type(error).__name__).lower()


def _natural(path: Path) -> tuple[list[tuple[int, int, str]], str]:
    parts = re.split(r"(\d+)", path.name.lower())
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts if part], path.name
