"""Where the frames of a cut or joined bundle come from, so that parts of one video are not joined in a wrong order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from neuralcipher.container import BundleReader
from neuralcipher.errors import PayloadDamagedError, UsageError

FIELD = "origins"
_ID_BYTES = 32
_HINT = "give the parts in the order of the video, or pass --allow-overlap to join them all the same"


@dataclass(frozen=True, slots=True)
class Origin:
    """Frames start..stop-1 of a bundle that seal made. bundle: the salt of its header."""

    bundle: bytes
    start: int
    frames: int

    @property
    def stop(self) -> int:
        """The frame behind the last one."""
        return self.start + self.frames


Origins = tuple[Origin, ...]


def origins_of(reader: BundleReader, frames: int) -> Origins:
    """What the metadata says, or else that the bundle is its own origin. frames: of the bundle.

    Raises PayloadDamagedError.
    """
    listed = reader.metadata.get(FIELD)
    if listed is None:
        return (Origin(reader.header.salt, 0, frames),)
    found = tuple(map(_origin, listed)) if type(listed) is list else ()
    known = [origin for origin in found if origin is not None]
    if len(known) != len(found) or sum(origin.frames for origin in known) != frames:
        raise PayloadDamagedError(f"{reader.name} states wrongly where its frames come from")
    return tuple(known)


def _origin(fields: Any) -> Origin | None:
    if not isinstance(fields, Mapping) or set(fields) != {"bundle", "frames", "start"}:
        return None
    bundle, start, frames = fields["bundle"], fields["start"], fields["frames"]
    right = type(bundle) is bytes and len(bundle) == _ID_BYTES and type(start) is int and type(frames) is int
    return Origin(bundle, start, frames) if right and start >= 0 and frames > 0 else None


def to_metadata(origins: Origins) -> list[dict[str, Any]]:
    """For the metadata of a bundle."""
    return [{"bundle": origin.bundle, "frames": origin.frames, "start": origin.start} for origin in origins]


def cut_origins(origins: Origins, frames: range) -> Origins:
    """Those of a part of the frames."""
    found, first = [], 0
    for origin in origins:
        start, stop = max(frames.start - first, 0), min(frames.stop - first, origin.frames)
        if start < stop:
            found.append(replace(origin, start=origin.start + start, frames=stop - start))
        first += origin.frames
    return tuple(found)


def joined_origins(parts: Sequence[Origins]) -> Origins:
    """Those of all parts one after the other; what goes on where the last one ended becomes one with it."""
    found: list[Origin] = []
    for origin in (origin for part in parts for origin in part):
        if found and follows(found[-1], origin):
            found[-1] = replace(found[-1], frames=found[-1].frames + origin.frames)
        else:
            found.append(origin)
    return tuple(found)


def follows(first: Origin, second: Origin) -> bool:
    """Whether the second goes on where the first ends."""
    return first.bundle == second.bundle and first.stop == second.start


def check_order(names: Sequence[str], parts: Sequence[Origins]) -> None:
    """Raise UsageError if two bundles hold the same frames of one video, or a later one holds earlier frames."""
    reached: dict[bytes, tuple[int, int]] = {}
    for number, origins in enumerate(parts):
        for origin in origins:
            stop, other = reached.get(origin.bundle, (0, number))
            if origin.start < stop:
                raise UsageError(_sentence(names, parts, number, origin, other), hint=_HINT)
        for origin in origins:
            reached[origin.bundle] = max(reached.get(origin.bundle, (0, number)), (origin.stop, number))


def _sentence(names: Sequence[str], parts: Sequence[Origins], number: int, origin: Origin, other: int) -> str:
    for earlier in range(number):
        for seen in parts[earlier]:
            start, stop = max(seen.start, origin.start), min(seen.stop, origin.stop)
            if seen.bundle == origin.bundle and start < stop:
                return f"{names[number]} repeats frames of {names[earlier]}: {start} to {stop - 1} of one video"
    return f"{names[number]} holds earlier frames of the video of which {names[other]} holds later ones"
