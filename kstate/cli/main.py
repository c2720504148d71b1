"""The entry point: finds the command, and turns errors into one sentence and an exit code."""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from collections.abc import Sequence
from importlib.metadata import version

import click

from kstate.errors import KStateError

EXIT_INTERRUPTED = 130
EXIT_UNEXPECTED = 70

COMMANDS = {
    "call": ("kstate.cli.send:call", "Send a command and print its reply."),
    "cast": ("kstate.cli.send:cast", "Send a command without waiting for a reply."),
    "query": ("kstate.cli.query:query", "Read events by id or tag, or the ids."),
    "replay": ("kstate.cli.replay:replay", "Read the journal, and fold it."),
    "run": ("kstate.cli.run:run", "Run processors."),
    "schema": ("kstate.cli.schema:schema", "Freeze and check the schemas of processors."),
    "state": ("kstate.cli.state:state", "Print the state of an entity."),
    "status": ("kstate.cli.status:status", "Show partitions, owners, lag and entities."),
}


class LazyGroup(click.Group):
    """Imports a command's module when it is needed: ``--help`` needs no codec and no log."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name][0].partition(":")
        found: click.Command = getattr(importlib.import_module(module), name)
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name][1]) for name in self.list_commands(ctx)])


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Example: kstate run processors.bank:Bank --log sqlite:bank.db",
)
@click.version_option(version("kstate"), prog_name="kstate")
def kstate() -> None:
    """Persistent processes on Kafka or on an embedded log."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line and ends the process with its exit code."""
    try:
        code = kstate.main(args=arguments, prog_name="kstate", standalone_mode=False)
        sys.stdout.flush()
    except click.exceptions.Exit as done:
        code = done.exit_code
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        code = EXIT_INTERRUPTED
    except BrokenPipeError:
        # the reader has gone (| head): nothing more to say, also not at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except KStateError as error:
        _tell(str(error))
        code = error.exit_code
    except Exception as error:  # noqa: BLE001 - the last resort: a line instead of a traceback
        _tell(f"unexpected {type(error).__name__}: {error} (KSTATE_DEBUG=1 shows where)")
        code = EXIT_UNEXPECTED
    sys.exit(code if isinstance(code, int) else 0)


def _tell(message: str) -> None:
    if os.environ.get("KSTATE_DEBUG") == "1":
        traceback.print_exc()
    click.echo(f"kstate: {message}", err=True)


if __name__ == "__main__":
    main()
