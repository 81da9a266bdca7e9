"""Parse the command line, execute the subcommand, and turn errors into messages and exit codes."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Annotated, Any

if TYPE_CHECKING:
    from spectraledge.cli.command import Command

__all__ = ["main"]

PACKAGE = Path(__file__).parents[1]
WRONG_USE, FAILED, INTERRUPTED = 2, 1, 130
SECONDS_TO_REPEAT = 0.05


def main(arguments: Sequence[str] | None = None) -> int:
    """The command ``spectraledge``.

    Args:
        arguments: Words after the command's name; those of this process if None.

    Returns:
        Exit code: 0 if all went well or for ``--version``, 1 if runs failed or are missing, 2 for
        wrong use, 130 after Ctrl-C. ``--help`` and flags that cannot be parsed raise `SystemExit`.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words == ["--version"]:
        print(f"spectraledge {version('spectraledge')}")
        return 0
    try:
        with _interrupts_end_the_process():
            command = _parse(words)
            for module in command.imports:
                import_module(module)
    except ImportError as error:
        return _say(
            f"{error}; install what the command line needs: pip install 'spectraledge[lab]'"
        )
    except BrokenPipeError:
        return _without_reader()
    with warnings.catch_warnings(), _interrupts_are_repeated():
        warnings.showwarning = _show_warning
        try:
            return command.execute()
        except KeyboardInterrupt as stop:
            return _interrupted(stop, words)
        except BrokenPipeError:
            return _without_reader()
        except Exception as error:
            if command.traceback or not _is_for_the_user(error):
                traceback.print_exc()
                return FAILED
            return _say(_message(error), FAILED if isinstance(error, OSError) else WRONG_USE)


def _without_reader() -> int:
    """The reader, e.g. `head`, has gone; nothing more may be written, not even at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return FAILED


def _parse(words: list[str]) -> Command:
    import tyro
    from tyro.conf import OmitArgPrefixes, subcommand

    from spectraledge.cli.bench import Bench
    from spectraledge.cli.experiment import Report, Run
    from spectraledge.cli.listing import List
    from spectraledge.cli.show import Show
    from spectraledge.cli.sweep import Sweep
    from spectraledge.cli.train import Train

    commands: Any = (
        Annotated[List, subcommand("list")]
        | Annotated[Train, subcommand("train")]
        | Annotated[Run, subcommand("run")]
        | Annotated[Sweep, subcommand("sweep")]
        | Annotated[Report, subcommand("report")]
        | Annotated[Show, subcommand("show")]
        | Annotated[Bench, subcommand("bench")]
    )
    parsed: Command = tyro.cli(
        commands,
        args=words,
        prog="spectraledge",
        description="Train small transformers under several weight decays, measure and report.",
        config=(OmitArgPrefixes,),
    )
    return parsed


@contextmanager
def _interrupts_end_the_process() -> Iterator[None]:
    """Ctrl-C while modules are imported: some catch it, and go on half-imported."""
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield  # ignored, as in a background job, or handled by somebody else
        return
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@contextmanager
def _interrupts_are_repeated() -> Iterator[None]:
    """Ctrl-C while Python ends an object: what is raised there is dropped, so it comes again."""
    before = sys.unraisablehook
    main_thread = threading.get_ident()

    def again() -> None:
        signal.pthread_kill(main_thread, signal.SIGINT)

    def repeat(lost: sys.UnraisableHookArgs) -> None:
        if not issubclass(lost.exc_type, KeyboardInterrupt):
            before(lost)
            return
        # Later: raised at once, it would come inside this very hook, and be dropped again.
        timer = threading.Timer(SECONDS_TO_REPEAT, again)
        timer.daemon = True
        timer.start()

    sys.unraisablehook = repeat
    try:
        yield
    finally:
        sys.unraisablehook = before


def _interrupted(stop: KeyboardInterrupt, words: list[str]) -> int:
    told = str(stop)
    print(f"\nInterrupted. {told}".rstrip(), file=sys.stderr)
    if told:
        print(f"To go on, run the same command again:\n  {_command_line(words)}", file=sys.stderr)
    return INTERRUPTED


def _command_line(words: list[str]) -> str:
    """What the user typed, as far as the process can know it."""
    called = Path(sys.argv[0])
    if called.name == "__main__.py":
        start = [sys.executable, "-m", "spectraledge"]
    elif shutil.which(called.name) == str(called):
        start = [called.name]
    else:
        start = [str(called)]
    return shlex.join([*start, *words])


def _is_for_the_user(error: Exception) -> bool:
    """Whether the error is one of ours, worded for the user, or one of the file system."""
    if isinstance(error, OSError):
        return True
    ours = isinstance(error, ValueError | KeyError | ImportError | RuntimeError)
    return ours and _raised_in(error.__traceback__).is_relative_to(PACKAGE)


def _raised_in(trace: TracebackType | None) -> Path:
    frames = traceback.extract_tb(trace)
    return Path(frames[-1].filename) if frames else Path()


def _message(error: Exception) -> str:
    # The text of a KeyError is the representation of its argument, in quotes.
    return str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)


def _say(message: str, code: int = FAILED) -> int:
    print(f"spectraledge: {message}", file=sys.stderr)
    return code


def _show_warning(message: Warning | str, *_: object, **__: object) -> None:
    print(f"note: {message}", file=sys.stderr)
