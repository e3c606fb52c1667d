"""Working one step ahead in a thread."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")


def one_ahead(items: Iterable[Item]) -> Iterator[Item]:
    """The same items; the next one is made in a thread while this one is used."""
    source = iter(items)
    with ThreadPoolExecutor(max_workers=1) as worker:
        pending = worker.submit(_take, source)
        while (taken := pending.result()) is not None:
            pending = worker.submit(_take, source)
            yield taken[0]


def _take(source: Iterator[Item]) -> tuple[Item] | None:
    for item in source:
        return (item,)
    return None
