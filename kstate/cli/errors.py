"""The one place where errors become a sentence on standard error and an exit code."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

import click

from kstate.errors import CommandFailed, KStateError, Rejected

EXIT_UNEXPECTED = 70
"""An error that is none of kstate's: a mistake in kstate, or in what it loaded."""
EXIT_OUTPUT = 74
"""Standard output could not be written."""
EXIT_LATE = 75
"""Workers that did not stop in time were ended."""
EXIT_INTERRUPTED = 130
"""Ctrl-C, outside of ``run``."""

DEBUG = "KSTATE_DEBUG"
_LOST = "the output cannot be written"


class Told(click.ClickException):
    """What is said of an error, and the exit code that follows."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code  # type: ignore[misc]  # click reads it from the instance

    def show(self, file: IO[Any] | None = None) -> None:
        """Prints the sentence to ``file``, standard error by default."""
        click.echo(f"kstate: {self.format_message()}", file=file, err=file is None)


class OutputLost(Exception):
    """Standard output took no more: a full disk, most of the time."""


@contextmanager
def written() -> Iterator[None]:
    """Raises `OutputLost` when the block, which writes to standard output, cannot.

    A `BrokenPipeError` stays what it is: a reader that has gone is no loss.
    """
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputLost(error.strerror or str(error)) from error


@contextmanager
def told() -> Iterator[None]:
    """Turns whatever ends the block into a `click` exception with the right exit code.

    A reader of standard output that has gone (``| head``) is no error.
    """
    try:
        yield
        with written():
            sys.stdout.flush()
    except (click.ClickException, click.exceptions.Exit, click.Abort):
        raise
    except BrokenPipeError:
        _forget_stdout()
        raise click.exceptions.Exit(0) from None
    except OutputLost as error:
        _forget_stdout()
        raise Told(f"{_LOST}: {error}", EXIT_OUTPUT) from error
    except KeyboardInterrupt:
        raise click.exceptions.Exit(EXIT_INTERRUPTED) from None
    except KStateError as error:
        _trace()
        raise Told(_sentence(error), error.exit_code) from error
    except Exception as error:
        if isinstance(error, OSError) and _of_a_help(error):
            raise click.exceptions.Exit(lost_output(error)) from error
        hint = "" if _trace() else " (kstate --debug … shows where)"
        message = f"unexpected {type(error).__name__}: {error}{hint}"
        raise Told(message, EXIT_UNEXPECTED) from error


def _sentence(error: KStateError) -> str:
    if isinstance(error, Rejected):
        return f"rejected ({error.code}): {error}"
    if isinstance(error, CommandFailed):
        return f"the command failed ({error.code}): {error}"
    return str(error)


def _trace() -> bool:
    """Prints the traceback of the current exception if it is wanted; whether it is."""
    wanted = os.environ.get(DEBUG, "") not in ("", "0")
    if wanted:
        traceback.print_exc()
    return wanted


def _of_a_help(error: OSError) -> bool:
    """Whether it was click that could not write; what kstate writes raises `OutputLost`."""
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    return frame is not None and frame.tb_frame.f_code is click.echo.__code__


def _forget_stdout() -> None:
    """What is still buffered goes nowhere: the interpreter would complain of it at its exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def lost_output(error: OSError) -> int:
    """Says that standard output could not be written, outside of `told`; the exit code."""
    _forget_stdout()
    click.echo(f"kstate: {_LOST}: {error.strerror or error}", err=True)
    return EXIT_OUTPUT
