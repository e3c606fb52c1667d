"""What the process that workers are forked from imports; light, so that it can be started before torch is loaded."""

from __future__ import annotations

from importlib.metadata import entry_points

from neuralcipher import forking


def warm() -> None:
    """Start importing every attack there, see `neuralcipher.forking.warm`."""
    modules = {point.value.split(":")[0] for point in entry_points(group="neuralcipher.attacks")}
    forking.warm(modules | {"neuralcipher.attacks.engine"})
