"""The command line, `ncipher`. Importing it imports no torch, so that `ncipher --help` is instant."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType
from typing import cast

import typer

from neuralcipher.cli import attack, compare, demo, info, keygen, open, rekey, seal, verify
from neuralcipher.cli.console import print_error, tell
from neuralcipher.errors import EXIT_FAILED, EXIT_INTERRUPTED, CancelledError, NeuralCipherError, UsageError

app = typer.Typer(
    name="ncipher",
    help="Seal a video into small neural networks that only a key holder can play.",
    no_args_is_help=True,
    rich_markup_mode=None,  # rich help costs more than all the rest of `ncipher --help`
    pretty_exceptions_enable=False,
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


app.command("keygen")(keygen.keygen)
app.command("seal")(seal.seal)
app.command("open")(open.open_)
app.command("info")(info.info)
app.command("verify")(verify.verify)
app.command("rekey")(rekey.rekey)
app.command("attack")(attack.attack)
app.command("compare")(compare.compare)
app.command("demo")(demo.demo)


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


def _interrupt(number: int, frame: FrameType | None) -> None:
    """End like ^C does, so that temporary files are removed."""
    raise KeyboardInterrupt


def _wants_json(arguments: list[str]) -> bool:
    """Whether stdout is for one JSON object; the reports of `attack` go to files, or to stdout with `--json -`."""
    if arguments[:1] != ["attack"]:
        return "--json" in arguments
    return "--json=-" in arguments or ["--json", "-"] in [arguments[i : i + 2] for i in range(len(arguments))]


def main() -> None:
    """Run the command and turn every expected failure into one sentence and an exit code."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    as_json = _wants_json(sys.argv[1:])
    try:
        code = app(standalone_mode=False)
    except NeuralCipherError as error:
        print_error(error, as_json=as_json)
        sys.exit(error.exit_code)
    except _WRONG_ARGUMENTS as error:
        _print_wrong_arguments(error, as_json=as_json)
        sys.exit(UsageError.exit_code)
    except (KeyboardInterrupt, typer.Abort) as stop:
        sentence = f"interrupted, {stop.args[0] if stop.args else 'nothing was left behind'}"
        if as_json:
            print_error(CancelledError(sentence), as_json=True)
        else:
            tell(sentence)
        sys.exit(EXIT_INTERRUPTED)
    except OSError as error:  # of stdout, or of a disk that fails while it is read
        if not isinstance(error, BrokenPipeError):
            where = f" at {error.filename}" if error.filename else ""
            reason = (error.strerror or type(error).__name__).lower()
            print_error(NeuralCipherError(f"the system reports{where}: {reason}"), as_json=False)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(EXIT_FAILED)
    except MemoryError:
        print_error(NeuralCipherError("there is not enough memory", hint="shrink it with --scale"), as_json=as_json)
        sys.exit(EXIT_FAILED)
    sys.exit(code if isinstance(code, int) else 0)
