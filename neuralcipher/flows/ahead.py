"""Working some steps ahead in a thread."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")


def ahead(items: Iterable[Item], depth: int = 1) -> Iterator[Item]:
    """The same items; the next `depth` of them are made in a thread while one is used.

    More than one evens out items that take longer than others, and holds as many.
    """
    source = iter(items)
    with ThreadPoolExecutor(max_workers=1) as worker:
        pending = deque(worker.submit(_take, source) for _ in range(depth))
        while (taken := pending.popleft().result()) is not None:
            pending.append(worker.submit(_take, source))
            yield taken[0]


def _take(source: Iterator[Item]) -> tuple[Item] | None:
    for item in source:
        return (item,)
    return None
