"""The command line. One module a command, imported when it is called; nothing here is imported by anyone."""

from __future__ import annotations

import importlib
import sys
import traceback
from typing import Any

import click

from porting._version import VERSION
from porting.errors import PortingError

INCOMPLETE = 3
"""Exit status of a run that was interrupted, or that could not say all it had to say."""

# Name to module and one line of help: `porting --help` imports none of them.
COMMANDS = {
    "check": ("check", "Check models on targets and record what came of it."),
    "plan": ("plan", "Tell what a check would work, why, how long it would take, and in which order."),
    "ops": ("ops", "Tell which operators are right on targets, and which of a model's a maker has."),
    "convert": ("convert", "Convert a model for a target into a folder that deploys alone."),
    "run": ("program", "Run a program of yours on a stand-in for an accelerator that is not here."),
    "scan": ("scan", "Find what in source code is written for CUDA."),
    "rewrite": ("rewrite", "Make code that was written for CUDA run on any accelerator."),
    "verify": ("verify", "Prove that a port does what the original does, on the CPU and on stand-ins."),
    "report": ("report", "Show recorded results as a table, Markdown, JSON or a web page."),
    "diff": ("diff", "Compare two runs, stores, exported files or versions, cell by cell."),
    "history": ("history", "Tell since when cells pass or fail, and what moved when that changed."),
    "accept": ("accept", "Accept recorded results as expectations, as a patch to review."),
    "locate": ("locate", "Tell which operators of a model are wrong on a target by themselves."),
    "reduce": ("reduce", "Find the smallest case of a model's failure, as a folder for a bug report."),
    "unlock": ("unlock", "Tell which remedy would turn most recorded failures to passes."),
    "routes": ("routes", "List what may be changed about a model that does not pass, and what is known to help."),
    "explain": ("explain", "Tell what happened to one model on one target."),
    "models": ("models", "List, show, validate and build the catalog."),
    "targets": ("targets", "List and show targets."),
    "doctor": ("doctor", "Tell what this machine has and what is missing."),
    "fit": ("fit", "Tell whether a model of full size fits on a card, and on how many."),
    "profile": ("profile", "Show what is known of makers of accelerators, and build it from their files."),
    "cache": ("cache", "Show what the cache of built models takes, and make it smaller."),
    "env": ("env", "Give backends interpreters of their own, and tell which runs where."),
    "results": ("results", "Export, import and compact recorded results."),
    "numerics": ("numerics", "Show what the pass rule catches and what it costs."),
    "init": ("init", "Write a porting.toml for your own model."),
}


class LazyGroup(click.Group):
    """A group whose commands are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"porting.cli.{COMMANDS[cmd_name][0]}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in COMMANDS and not name.startswith("-"):
            import difflib

            near = difflib.get_close_matches(name, COMMANDS, n=1)
            raise click.UsageError(f"No such command {name!r}." + (f" Did you mean {near[0]}?" if near else ""), ctx)
        return super().resolve_command(ctx, args)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(VERSION, message="porting %(version)s")
def root() -> None:
    """Port AI models to accelerator backends, and prove what was ported.

    Exit status: 0 as expected, 1 a failure, 2 wrong usage, 3 the rig failed or the run is incomplete.
    """


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with its status. A request to end (SIGTERM) is heard like Ctrl-C: jobs are ended first."""
    import signal

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a terminal that lacks a sign gets a question mark, not a traceback
            stream.reconfigure(errors="replace")
    sys.exit(run(arguments))


def run(arguments: list[str] | None = None) -> int:
    """Run the command line. Every error a person can meet is one line on standard error and an exit status."""
    try:
        value: Any = root.main(args=arguments, prog_name="porting", standalone_mode=False)
        return value if isinstance(value, int) else 0
    except PortingError as error:
        _complain(str(error))
        return error.exit_code
    except click.exceptions.Exit as error:
        return error.exit_code
    except click.ClickException as error:
        _complain(_usage(error))
        return 2
    except (click.Abort, KeyboardInterrupt):
        _complain("interrupted; what was recorded is kept, and the same command goes on from there.")
        return INCOMPLETE
    except (BrokenPipeError, SystemExit):  # the latter is click's word for the former: the reader went away
        return INCOMPLETE
    except Exception as error:  # noqa: BLE001 -- a fault of ours must not end like a failed model, whose status is 1
        traceback.print_exc()
        _complain(f"a fault in porting itself: {type(error).__name__}: {error}. Please report it, with the lines above.")
        return INCOMPLETE


def _usage(error: click.ClickException) -> str:
    """What click has to say, in one line, with where to read more."""
    context = getattr(error, "ctx", None)
    message = error.format_message()
    return f"{message}{'' if message.endswith(('.', '?')) else '.'} See {context.command_path if context else 'porting'} --help."


def _complain(text: str) -> None:
    click.echo(f"Error: {text}", err=True)
