"""What a fit keeps of its work, so that another process can go on where this one was stopped."""

from __future__ import annotations

import io
import time
import zipfile
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from neuralcipher.coding.weights import load_parameters
from neuralcipher.errors import PayloadDamagedError

Arrays = Mapping[str, NDArray[Any]]

_SPENT = "spent_s"


class Notes:
    """Named arrays that are saved now and then while a fit goes on, and that the next process begins with.

    kept: what `save` was last given, by a process that was stopped; None to begin. save: called with all notes as
    bytes, at most every `every_s` seconds; None keeps nothing. Raises PayloadDamagedError if `kept` is anything else.
    """

    def __init__(
        self, kept: bytes | None = None, save: Callable[[bytes], None] | None = None, every_s: float = 30.0
    ) -> None:
        self._notes: dict[str, dict[str, NDArray[Any]]] = {} if kept is None else _unpacked(kept)
        self._spent_s = float(self._notes.pop(_SPENT, {}).get("s", np.zeros(())))
        self._save, self._every_s = save, every_s
        self._started = self._saved = time.monotonic()

    def elapsed_s(self) -> float:
        """Seconds that were spent on this fit, those of earlier processes included."""
        return self._spent_s + time.monotonic() - self._started

    def get(self, name: str) -> Arrays | None:
        """What was noted under `name`, or None."""
        return self._notes.get(name)

    def put(self, name: str, arrays: Arrays) -> None:
        """Note arrays under `name`, in place of earlier ones; they are saved when it is time to."""
        if self._save is not None:
            self._notes[name] = dict(arrays)
            if self.due():
                self._write()

    def due(self) -> bool:
        """Whether it is time to save, for work whose state is only gathered then."""
        return self._save is not None and time.monotonic() - self._saved >= self._every_s

    def _write(self) -> None:
        if self._save is None:
            return
        file = io.BytesIO()
        flat: dict[str, Any] = {
            f"{name}/{key}": array for name, arrays in self._notes.items() for key, array in arrays.items()
        }
        flat[f"{_SPENT}/s"] = np.array(self.elapsed_s())
        np.savez(file, **flat)
        self._save(file.getvalue())
        self._saved = time.monotonic()


def _unpacked(data: bytes) -> dict[str, dict[str, NDArray[Any]]]:
    notes: dict[str, dict[str, NDArray[Any]]] = {}
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as members:
            for member in members.infolist():
                # As they are written; nothing may unpack to more than is there.
                if member.compress_type != zipfile.ZIP_STORED or member.file_size > len(data):
                    raise ValueError("a member is not stored as it is")
        with np.load(io.BytesIO(data), allow_pickle=False) as stored:
            for entry in stored.files:
                name, _, key = entry.rpartition("/")
                array = stored[entry]
                if not isinstance(array, np.ndarray):  # NumPy hands other members over as bytes
                    raise ValueError("a member is no array")
                notes.setdefault(name, {})[key] = array
    except Exception as error:  # zipfile and NumPy's header give no list of what they raise
        raise PayloadDamagedError("the notes of an unfinished fit are damaged", hint="begin anew") from error
    return notes


def training_arrays(parameters: Iterable[nn.Parameter], optimiser: torch.optim.Optimizer) -> dict[str, NDArray[Any]]:
    """The weights and what the optimiser remembers, as arrays to note."""
    arrays = {f"p{i}": parameter.detach().cpu().numpy() for i, parameter in enumerate(parameters)}
    for i, state in optimiser.state_dict()["state"].items():
        for name, value in state.items():
            if isinstance(value, (Tensor, int, float)):
                arrays[f"o{i} {name}"] = torch.as_tensor(value).cpu().numpy()
    for i, group in enumerate(optimiser.param_groups):
        if "step" in group:
            arrays[f"g{i} step"] = np.array(int(group["step"]))
    return {name: array.copy() for name, array in arrays.items()}


def restore_training(arrays: Arrays, network: nn.Module, optimiser: torch.optim.Optimizer) -> None:
    """Put back what `training_arrays` returned, onto the devices where the weights are."""
    parameters = list(network.parameters())
    load_parameters(network, [torch.from_numpy(arrays[f"p{i}"]) for i in range(len(parameters))])
    states: dict[int, dict[str, Any]] = {}
    for entry, array in arrays.items():
        place, _, name = entry.partition(" ")
        if place.startswith("o") and name:
            states.setdefault(int(place[1:]), {})[name] = torch.from_numpy(np.array(array))
        elif place.startswith("g") and name == "step":
            optimiser.param_groups[int(place[1:])]["step"] = int(array)
    optimiser.load_state_dict({"state": states, "param_groups": optimiser.state_dict()["param_groups"]})
