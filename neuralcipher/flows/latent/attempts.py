"""The attempts at coding a segment, kept group by group, so that a fit that was stopped does not search again."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from neuralcipher.flows.notes import Arrays, Notes


class KeptAttempt:
    """The plan and the messages of one attempt, as far as it went."""

    def __init__(
        self, notes: Notes | None = None, name: str = "", key: Sequence[float] = (), found: Arrays | None = None
    ) -> None:
        """notes: where it is kept, None for nowhere. key: what it is an attempt at. found: what was kept so far."""
        self._notes, self._name, self._key = notes or Notes(), name, key
        self.plan = b"" if found is None else found["plan"].tobytes()
        self.messages: list[bytes] = []
        if found is not None:
            ends = np.cumsum(found["lengths"])
            whole = found["messages"].tobytes()
            self.messages = [whole[end - n : end] for n, end in zip(found["lengths"], ends, strict=True)]

    def add(self, message: bytes) -> None:
        """Keep the message of the next group."""
        self.messages.append(message)
        arrays = {
            "key": np.array(self._key),
            "plan": np.frombuffer(self.plan, np.uint8),
            "lengths": np.array([len(m) for m in self.messages], dtype=np.int64),
            "messages": np.frombuffer(b"".join(self.messages), np.uint8),
        }
        self._notes.put(self._name, arrays)


class Attempts:
    """All attempts of one fit, in the order in which they were made."""

    def __init__(self, notes: Notes) -> None:
        self._notes = notes
        self._number = 0

    def next(self, quality: int, length: int | None, cascade: float, traced: bool = False) -> KeptAttempt:
        """The attempt that comes now, with what an earlier process kept of it.

        The choice of attempts follows from what they gave, so it comes out as before; if it does not, what was kept
        is of no use and is coded anew.
        """
        key = (float(quality), math.nan if length is None else float(length), cascade, float(traced))
        name = f"attempt {self._number}"
        self._number += 1
        found = self._notes.get(name)
        if found is not None and not np.array_equal(found["key"], np.array(key), equal_nan=True):
            found = None
        return KeptAttempt(self._notes, name, key, found)

    @property
    def another_is_kept(self) -> bool:
        """Whether an earlier process went on to one more attempt."""
        return self._notes.get(f"attempt {self._number}") is not None
