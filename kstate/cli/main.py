"""The entry point: a group whose commands are imported when they are used."""

from __future__ import annotations

import importlib
import logging
import os
import sys
from importlib.metadata import version
from typing import Any

import click

from kstate.cli.errors import DEBUG, lost_output, told
from kstate.cli.options import examples

COMMANDS = {
    "call": ("kstate.cli.send:call", "Send a command and print its reply."),
    "cast": ("kstate.cli.send:cast", "Send a command without waiting for a reply."),
    "dead-letters": (
        "kstate.cli.dead_letters:dead_letters",
        "List the commands that failed, send one again, or remove one.",
    ),
    "export": (
        "kstate.cli.transfer:export",
        "Copy a processor's journal and snapshots into files.",
    ),
    "handler": (
        "kstate.cli.handler:handler",
        "Run event handlers, which tell the outside world of events.",
    ),
    "erase": (
        "kstate.cli.erase:erase",
        "Erase an entity: its state, and all that led to it.",
    ),
    "health": ("kstate.cli.health:health", "Ask whether workers are at work on this machine."),
    "import": (
        "kstate.cli.transfer:import_",
        "Take what was exported in, on a log without that journal.",
    ),
    "index": (
        "kstate.cli.index:index",
        "Build a local index of a journal, or bring it up to date.",
    ),
    "projection": (
        "kstate.cli.projection:projection",
        "Run projections, look at them, pause, reset or rebuild them.",
    ),
    "query": ("kstate.cli.query:query", "Read events by id, tag or type, or list the ids."),
    "replay": ("kstate.cli.replay:replay", "Read the journal, fold it, or repair its snapshots."),
    "run": ("kstate.cli.run:run", "Run processors until SIGTERM or Ctrl-C."),
    "schema": ("kstate.cli.schema:schema", "Freeze the schemas of processors, or check them."),
    "state": ("kstate.cli.state:state", "Print the state of an entity, now or then."),
    "status": ("kstate.cli.status:status", "Show partitions, owners, lag and entities."),
    "topics": ("kstate.cli.topics:topics", "Create the topics of processors, and check them."),
    "verify": ("kstate.cli.verify:verify", "Check a journal and its snapshots for damage."),
}
"""Name → where the command is, and the first sentence of its help."""


class LazyGroup(click.Group):
    """Imports a command's module when it is needed: ``--help`` needs no log (click, "Complex
    Applications", lazily loading subcommands)."""

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

    def invoke(self, ctx: click.Context) -> Any:
        with told():
            return super().invoke(ctx)


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=examples(
        "kstate run processors.bank:Bank",
        "kstate call bank acct-1 Deposit amount=5",
        "kstate query bank --id acct-1",
    ),
)
@click.option("--debug", is_flag=True, help="Show the traceback of an error (KSTATE_DEBUG=1).")
@click.version_option(version("kstate"), prog_name="kstate")
def kstate(debug: bool) -> None:
    """Run persistent processes on Kafka or on an embedded log, and speak to them."""
    if debug:
        os.environ[DEBUG] = "1"  # also for the processes that `run --workers` starts


def main() -> None:
    """Runs the command line and ends the process with its exit code."""
    if logging.lastResort is not None:  # of all commands that do not say otherwise, as `run` does
        logging.lastResort.setFormatter(logging.Formatter("kstate: warning: %(message)s"))
    try:
        kstate(prog_name="kstate")
    except OSError as error:  # of a help: what commands do ends in `told`
        sys.exit(lost_output(error))


if __name__ == "__main__":
    main()
