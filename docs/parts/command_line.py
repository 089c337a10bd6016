"""The command line, from its own help."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import click

from parts.markdown import table


def commands() -> Iterator[tuple[str, click.Command, click.Context]]:
    """Every command with its full name, groups before what is in them."""
    from porting.cli import root

    yield from _commands(root, click.Context(root, info_name="porting"))


def _commands(command: click.Command, context: click.Context) -> Iterator[tuple[str, click.Command, click.Context]]:
    yield context.command_path, command, context
    for name in command.list_commands(context) if isinstance(command, click.Group) else ():
        inner = command.get_command(context, name)
        assert inner is not None
        yield from _commands(inner, click.Context(inner, info_name=name, parent=context))


def cli() -> str:
    """Every command with its usage, its text and its options."""
    return "\n\n".join(_command(path, command, context).strip() for path, command, context in commands())


def _command(path: str, command: click.Command, context: click.Context) -> str:
    level = "#" * (1 + len(path.split()))
    usage = " ".join(command.get_usage(context).removeprefix("Usage:").split())
    text = "\n\n".join(map(_paragraph, inspect.cleandoc(command.help or "").split("\n\n")))
    options = [(_flags(p), _meaning(p)) for p in command.params if isinstance(p, click.Option) and not p.hidden]
    return f"{level} {path}\n\n    {usage}\n\n{text}\n\n" + (table(("option", "meaning"), options) if options else "")


def _paragraph(text: str) -> str:
    """A paragraph of help; one that click keeps as it is (marked by a backspace) as a block."""
    if text.startswith("\b\n"):
        return "\n".join(f"    {line}" for line in text.splitlines()[1:])
    return " ".join(text.split())


def _flags(option: click.Option) -> str:
    names = "/".join([*option.opts, *option.secondary_opts])
    if option.is_flag or option.count:
        return f"`{names}`"
    kind = "|".join(option.type.choices) if isinstance(option.type, click.Choice) else option.type.name.split()[0].upper()
    return f"`{names} {option.metavar or kind}`"


def _meaning(option: click.Option) -> str:
    default = option.default
    if option.is_flag or option.multiple or not isinstance(default, (str, int, float)) or not default:
        return str(option.help)
    return f"{option.help} Default: {f'`{default}`' if isinstance(default, str) else f'{default:g}'}."
