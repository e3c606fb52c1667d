"""Working one step ahead in a thread."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")


def one_ahead(items: Iterable[Item]) -> Iterator[Item]:
    """The same items; the next one is made in a thread while this one is used."""
    source = iter(items)
    end = object()
    with ThreadPoolExecutor(max_workers=1) as worker:
        pending = worker.submit(next, source, end)
        while (item := pending.result()) is not end:
            pending = worker.submit(next, source, end)
            yield item  # type: ignore[misc]
