"""A process that has imported everything and forks a child for each command, so that a fault costs no start of torch.

Run with the shim preloaded and its path as argument. It reads one JSON object a line: {"start": {...}} forks a child
that runs the command, arms the shim in it and answers {"pid": ...}; {"wait": pid} answers with what became of it.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import io
import json
import mmap
import os
import signal
import struct
import sys
import threading
import traceback
from typing import Any

import typer.main

from neuralcipher import cli
from neuralcipher.flows import base as flows
from neuralcipher.generators import base as generators

USED = (
    "cv2",
    "rich.console",
    "rich.text",
    "neuralcipher.cli.sheets",
    "neuralcipher.flows.latent.fitting",
    "neuralcipher.pipeline.opening",
    "neuralcipher.pipeline.sealing",
    "neuralcipher.pipeline.upkeep",
)
for name in USED:
    importlib.import_module(name)
generators.find("chacha20")
flows.find("latent")
with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):
    cli.app(["info", "--help"])  # typer imports more when it first works
cli.app = typer.main.get_command(cli.app)

SHIM = ctypes.CDLL(sys.argv[1])
WORD = struct.calcsize("l")


def serve(job: dict[str, Any], counters: mmap.mmap) -> None:
    """In the child: run the command as `ncipher` would."""
    os.chdir(job["folder"])
    os.environ.update(job.get("environment", {}))
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for descriptor, path in ((1, job["stdout"]), (2, job["stderr"])):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), descriptor)
    log = os.open(job["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600) if job.get("log") else -1
    sys.argv = ["ncipher", *job["arguments"]]
    address = ctypes.c_void_p(ctypes.addressof(ctypes.c_long.from_buffer(counters)))
    SHIM.fault_arm(
        os.fsencode(os.path.realpath(job["folder"])),
        job.get("mode", 0),
        job.get("classes", 0),
        ctypes.c_long(job.get("at", 0)),
        job.get("number", 0),
        ctypes.c_long(job.get("delay_us", 0)),
        address,
        log,
    )
    if job.get("before"):
        exec(job["before"], {})  # noqa: S102  (what a test breaks on purpose)
    cli.main()


def start(job: dict[str, Any], children: dict[int, mmap.mmap]) -> int:
    counters = mmap.mmap(-1, mmap.PAGESIZE)
    child = os.fork()
    if child:
        children[child] = counters
        return child
    code = 1
    try:
        serve(job, counters)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        except BaseException:
            traceback.print_exc()
        os._exit(code)


def main() -> None:
    if threading.active_count() != 1:
        raise RuntimeError("a process with threads must not fork")
    gc.freeze()  # children then share what has been imported
    children: dict[int, mmap.mmap] = {}
    print("ready", flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        if "start" in request:
            answer: dict[str, Any] = {"pid": start(request["start"], children)}
        else:
            _, status = os.waitpid(request["wait"], os.WUNTRACED)
            if os.WIFSTOPPED(status):
                answer = {"stopped": True}
            else:
                counters = children.pop(request["wait"])
                seen, met, first_us, last_us = struct.unpack("4l", counters[: 4 * WORD])
                answer = {"code": os.waitstatus_to_exitcode(status), "seen": seen, "met": bool(met)}
                answer["took_us"] = last_us - first_us
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
