"""The command line, `ncipher`. Importing it imports no torch, so that `ncipher --help` is instant."""

from __future__ import annotations

import functools
import os
import signal
import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import Any, TypeVar, cast

import typer

from neuralcipher.cli import (
    attack,
    compare,
    cut,
    demo,
    extract_audio,
    info,
    join,
    keygen,
    open,
    player,
    rekey,
    report,
    seal,
    verify,
    view,
)
from neuralcipher.cli.console import print_error, tell
from neuralcipher.cli.credentials import take_passphrase
from neuralcipher.errors import (
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    CancelledError,
    NeuralCipherError,
    OutOfMemoryError,
    UsageError,
)
from neuralcipher.process import no_core_dumps

app = typer.Typer(
    name="ncipher",
    help="Seal a video into small neural networks that only a key holder can play.",
    no_args_is_help=True,
    rich_markup_mode=None,  # rich help costs more than all the rest of `ncipher --help`
    pretty_exceptions_enable=False,
    pretty_exceptions_show_locals=False,  # they would be keys
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        import neuralcipher

        typer.echo(f"ncipher {neuralcipher.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(False, "--version", callback=_show_version, is_eager=True, help="Show the version."),
) -> None:
    """Seal a video into small neural networks that only a key holder can play."""


Command = TypeVar("Command", bound=Callable[..., None])


def _interruptible(command: Command) -> Command:
    """Turn ^C into our own error before typer sees it: some versions make a silent exit code of it."""

    @functools.wraps(command)
    def run(*arguments: Any, **options: Any) -> None:
        try:
            command(*arguments, **options)
        except KeyboardInterrupt as stop:
            left = stop.args[0] if stop.args else "nothing unfinished was left behind"
            raise CancelledError(f"interrupted, {left}") from None

    return cast(Command, run)


app.command("keygen")(_interruptible(keygen.keygen))
app.command("seal")(_interruptible(seal.seal))
app.command("open")(_interruptible(open.open_))
app.command("cut")(_interruptible(cut.cut))
app.command("join")(_interruptible(join.join))
app.command("extract-audio")(_interruptible(extract_audio.extract_audio))
app.command("info")(_interruptible(info.info))
app.command("verify")(_interruptible(verify.verify))
app.command("report")(_interruptible(report.report))
app.command("rekey")(_interruptible(rekey.rekey))
app.command("attack")(_interruptible(attack.attack))
app.command("compare")(_interruptible(compare.compare))
app.command("demo")(_interruptible(demo.demo))
app.command("player")(_interruptible(player.player))
app.command("view")(_interruptible(view.view))


# Some versions of typer bring their own click, others use the installed one: its UsageError is taken from typer.
_WRONG_ARGUMENTS = cast(type[typer.BadParameter], typer.BadParameter.__base__)


def _print_wrong_arguments(error: typer.BadParameter, *, as_json: bool) -> None:
    if len(sys.argv) == 1:
        error.show()  # the help
        return
    message = error.format_message().rstrip(".")
    command = error.ctx.command_path if error.ctx else "ncipher"
    wrong = UsageError(message[:1].lower() + message[1:], hint=f"see {command} --help")
    print_error(wrong, as_json=as_json)


class _Interrupt:
    """Lets signals end the command like ^C does, so that temporary files are removed.

    A closing terminal sends several, and people press ^C twice: what arrives within 5 s of the first is ignored, so
    that it does not stop the removing.
    """

    _DEAF_S = 5.0

    def __init__(self) -> None:
        self._last = -self._DEAF_S

    def __call__(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if now - self._last >= self._DEAF_S:
            self._last = now
            raise KeyboardInterrupt

    def listen(self) -> None:
        """Take over the signals that are not ignored, as nohup and shells have them ignored on purpose."""
        for name in ("SIGINT", "SIGTERM", "SIGHUP"):
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self)


def _wants_json(arguments: list[str]) -> bool:
    """Whether stdout is for one JSON object; the reports of `attack` go to files, or to stdout with `--json -`."""
    if arguments[:1] != ["attack"]:
        return "--json" in arguments
    return "--json=-" in arguments or ["--json", "-"] in [arguments[i : i + 2] for i in range(len(arguments))]


def main() -> None:
    """Run the command and turn every expected failure into one sentence and an exit code."""
    _replace_closed_streams()
    _Interrupt().listen()
    no_core_dumps()
    take_passphrase()
    code = _run()
    # The exception, and with it every frame that holds an open output, is gone by now: what was half done is removed.
    try:
        sys.stdout.flush()
    except OSError:  # it has been said; what is left in the buffer must not give the interpreter a code of its own
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(code)


def _replace_closed_streams() -> None:
    """Python has None for a stream that the caller closed: put one there, so that no file takes its number.

    Writing to this stdout fails, so that no result is lost in silence; messages to this stderr are nobody's.
    """
    if sys.stdout is None:
        sys.stdout = os.fdopen(os.open(os.devnull, os.O_RDONLY), "w")
    if sys.stderr is None:
        sys.stderr = os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")


_DISK_HINT = "check the disk, the path and its permissions"


def _run() -> int:
    as_json = _wants_json(sys.argv[1:])
    try:
        code = app(standalone_mode=False)
        sys.stdout.flush()
    except NeuralCipherError as error:
        if isinstance(error, CancelledError) and not as_json:
            tell(error.message)  # what was asked for is no error
        else:
            print_error(error, as_json=as_json)
        return error.exit_code
    except _WRONG_ARGUMENTS as error:
        _print_wrong_arguments(error, as_json=as_json)
        return UsageError.exit_code
    except (KeyboardInterrupt, typer.Abort):  # before a command began
        return EXIT_INTERRUPTED
    except OSError as error:  # of stdout, or of a disk that fails while it is read
        if not isinstance(error, BrokenPipeError):
            where = f" at {error.filename}" if error.filename else ""
            reason = (error.strerror or type(error).__name__).lower()
            print_error(NeuralCipherError(f"the system reports{where}: {reason}", hint=_DISK_HINT), as_json=False)
        return EXIT_FAILED
    except MemoryError:
        print_error(OutOfMemoryError(), as_json=as_json)
        return EXIT_FAILED
    return code if isinstance(code, int) else 0
