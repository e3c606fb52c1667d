"""A process that has imported what commands need and forks a child for each: torch takes seconds to load.

It reads one JSON object a line, {"arguments", "folder", "environment", "outputs": [stdout, stderr]}, runs that as
`ncipher` would and answers with the exit code, as of a shell's child.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import sys
import threading
import traceback
from typing import Any

USED = (
    "cv2",
    "rich.console",
    "rich.text",
    "neuralcipher.cli",
    "neuralcipher.cli.sheets",
    "neuralcipher.attacks.engine",
    "neuralcipher.attacks.resume",
    "neuralcipher.flows.latent.fitting",
    "neuralcipher.pipeline.opening",
    "neuralcipher.pipeline.sealing",
    "neuralcipher.pipeline.upkeep",
)


def serve(job: dict[str, Any]) -> None:
    """In the child: run the command."""
    for descriptor, path in enumerate([os.devnull, *job["outputs"]]):
        os.dup2(os.open(path, os.O_WRONLY if descriptor else os.O_RDONLY), descriptor)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115  (the other holds what is left of the jobs)
    os.environ.clear()
    os.environ.update(job["environment"])
    os.chdir(job["folder"])
    sys.argv = ["ncipher", *job["arguments"]]
    importlib.import_module("neuralcipher.cli").main()


def child(job: dict[str, Any]) -> None:
    code = 1
    try:
        serve(job)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        atexit._run_exitfuncs()  # as the interpreter does where it ends
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def main() -> None:
    for name in USED:
        importlib.import_module(name)
    if threading.active_count() != 1:
        raise RuntimeError("a process with threads must not fork")
    gc.freeze()  # children then share what has been imported
    for line in sys.stdin:
        number = os.fork()
        if not number:
            child(json.loads(line))
        print(os.waitstatus_to_exitcode(os.waitpid(number, 0)[1]), flush=True)


if __name__ == "__main__":
    main()
