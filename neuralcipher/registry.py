"""Named variants: built in, registered at run time, or brought by another package's entry points."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from importlib.metadata import entry_points
from typing import Generic, TypeVar, cast

from neuralcipher.errors import UsageError

T = TypeVar("T")


def entry_names(group: str) -> list[str]:
    """Names in an entry-point group, sorted; nothing is imported for them."""
    return sorted({point.name for point in entry_points(group=group)})


class Registry(Generic[T]):
    """Maps a name to a variant, importing it only when it is asked for.

    group: the entry-point group that other packages use, such as "neuralcipher.flows".
    noun: how messages call a variant, such as "flow".
    """

    def __init__(self, group: str, noun: str) -> None:
        self._group = group
        self._noun = noun
        self._registered: dict[str, T] = {}

    def register(self, name: str) -> Callable[[T], T]:
        """Return a decorator that registers a variant under `name` for this process."""

        def add(variant: T) -> T:
            self._registered[name] = variant
            return variant

        return add

    def names(self) -> list[str]:
        """Every name that `get` accepts, sorted."""
        return sorted({*self._registered, *entry_names(self._group)})

    def get(self, name: str) -> T:
        """Return the variant called `name`. Raises UsageError, naming the nearest, if there is none."""
        if name in self._registered:
            return self._registered[name]
        for point in entry_points(group=self._group):
            if point.name == name:
                return cast(T, point.load())
        names = self.names()
        near = difflib.get_close_matches(name, names, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(names)}"
        raise UsageError(f"no {self._noun} is called {name!r}", hint=hint)
