"""The `action-images` command line: each command is one file of this folder, named after it."""

import importlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from action_images.errors import ActionImagesError, did_you_mean, printable
from action_images.extras import cure_of

BUG = 70
"""The exit code of a programming error (EX_SOFTWARE of sysexits.h)."""
HELP = ("-h", "--help")
QUICK = ("doctor", "info", "compare")
"""Commands that answer at once and so print no 'loading libraries'."""

COMMANDS = {
    path.stem.strip("_").replace("_", "-"): path
    for path in sorted(Path(__file__).parent.glob("*.py"))
    if path.stem != "__init__"
}
"""Command -> its file. The file's first line says what the command does; later lines that begin with
`action-images` are its examples; `main` takes its typed arguments."""


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the process's exit code.

    A user's mistake (ActionImagesError, a missing file, a missing package of an extra) ends in one line on
    stderr and code 2; ACTION_IMAGES_TRACEBACK=1 also shows where it was raised. Any other exception is a bug:
    its traceback and where to report it are shown, and the code is 70.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    if not arguments or arguments[0] in HELP:
        from action_images.terminal.help import overview

        print(overview(COMMANDS))
        return 0
    command, *rest = arguments
    if command == "--version":
        from action_images import __version__

        print(__version__)
        return 0
    if command not in COMMANDS:
        meant = did_you_mean(command, COMMANDS) or f"; there are: {', '.join(COMMANDS)}"
        print(f"action-images: there is no command '{command}'{meant}", file=sys.stderr)
        return 2
    return _run(command, rest)


def _run(command: str, arguments: list[str]) -> int:
    """Run a command and report its errors: one line for a user's mistake, the traceback for a bug."""
    from action_images.terminal.arguments import Mistake

    try:
        return _called(command, arguments)
    except Mistake as error:
        return _say(command, str(error), code=2)
    except BrokenPipeError:
        _forget_stdout()
        return 0
    except (ActionImagesError, OSError) as error:
        return _refused(command, error)
    except ModuleNotFoundError as error:
        cure = cure_of(error, command)
        return _bug(command) if cure is None else _say(command, cure, code=2)
    except KeyboardInterrupt:
        return _say(command, "interrupted", code=130)
    except Exception:
        return _bug(command)


@contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM ends a command as Ctrl-C does, so that it releases what it holds; a second one ends at once.

    Commands and programs that handle the signal themselves are left alone.
    """
    in_main = threading.current_thread() is threading.main_thread()
    if not in_main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return

    def interrupt(*_: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _called(command: str, arguments: list[str]) -> int:
    """Parse a command's arguments, check the paths among them, and run it; or show its help."""
    from action_images.terminal import arguments as terminal
    from action_images.terminal.help import command_help
    from action_images.terminal.paths import check_arguments
    from action_images.terminal.progress import stage

    run = importlib.import_module(f"action_images.cli.{COMMANDS[command].stem}").main
    prog = f"action-images {command}"
    if any(one in HELP for one in arguments):
        options = terminal.options_text(run, arguments, prog)
        print(command_help(COMMANDS[command], run, options))
        return 0
    given = terminal.parsed(run, arguments, prog)
    check_arguments(run, given.by_name(run))
    if command not in QUICK:
        stage("loading libraries")
    with _terminable():
        return run(*given.positional, **given.named) or 0


def _refused(command: str, error: Exception) -> int:
    if os.environ.get("ACTION_IMAGES_TRACEBACK"):
        import traceback

        traceback.print_exception(error)
    return _say(command, str(error), code=2)


def _bug(command: str) -> int:
    """Show the exception that is being handled and where to report it."""
    import traceback

    traceback.print_exc()
    return _say(command, "this is a bug, no mistake of yours; report it with this traceback", code=BUG)


def _say(command: str, sentence: str, *, code: int) -> int:
    print(f"action-images {command}: {printable(sentence)}", file=sys.stderr)
    return code


def _forget_stdout() -> None:
    """The reader of our output, such as `head`, has closed the pipe: write nothing more at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
