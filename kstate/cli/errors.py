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
EXIT_LATE = 75
"""Workers that did not stop in time were ended."""
EXIT_INTERRUPTED = 130
"""Ctrl-C, outside of ``run``."""

DEBUG = "KSTATE_DEBUG"


class Told(click.ClickException):
    """What is said of an error, and the exit code that follows."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code  # type: ignore[misc]  # click reads it from the instance

    def show(self, file: IO[Any] | None = None) -> None:
        """Prints the sentence to ``file``, standard error by default."""
        click.echo(f"kstate: {self.format_message()}", file=file, err=file is None)


@contextmanager
def told() -> Iterator[None]:
    """Turns whatever ends the block into a `click` exception with the right exit code.

    A reader of standard output that has gone (``| head``) is no error.
    """
    try:
        yield
        sys.stdout.flush()
    except (click.ClickException, click.exceptions.Exit, click.Abort):
        raise
    except BrokenPipeError:
        _forget_stdout()
        raise click.exceptions.Exit(0) from None
    except KeyboardInterrupt:
        raise click.exceptions.Exit(EXIT_INTERRUPTED) from None
    except KStateError as error:
        _trace()
        raise Told(_sentence(error), error.exit_code) from error
    except Exception as error:
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


def _forget_stdout() -> None:
    """What is still buffered goes nowhere: the interpreter would complain of it at its exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
