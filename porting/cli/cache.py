"""`porting cache show|prune`."""

from __future__ import annotations

import click

from porting.cli._shared import format_option, print_json, print_table


@click.group("cache")
def command() -> None:
    """Show what the cache of built models takes, and make it smaller."""


@command.command("show")
@format_option()
def show(form: str) -> None:
    """Show how many bundles (models as built and exported) there are, what they take, and how much they may."""
    from porting.bundles import cache
    from porting.workspace import Workspace

    folder = Workspace.find().bundles
    held = cache.bundles(folder)
    size, limit = sum(one.size for one in held), cache.limit_of(folder, held)
    if form == "json":
        print_json([{"folder": str(folder), "bundles": len(held), "bytes": size, "limit_bytes": limit}])
        return
    rows = [("folder", str(folder)), ("bundles", str(len(held))), ("size", _size(size)), ("limit", _size(limit))]
    print_table(("cache", ""), rows)


@command.command("prune")
@click.option("--to", "limit", metavar="SIZE", help="Such as 20G or 0; by default the limit that every run keeps to.")
@format_option()
def prune(limit: str | None, form: str) -> None:
    """Remove the bundles used longest ago until the rest are within SIZE. None that is in use goes, and no result is lost: a
    bundle is made again when it is needed."""
    from porting.bundles import cache
    from porting.workspace import Workspace

    folder = Workspace.find().bundles
    removed = cache.prune(folder, None if limit is None else cache.parse_size(limit, "--to"))
    left = cache.bundles(folder)
    freed, rest = sum(one.size for one in removed), sum(one.size for one in left)
    if form == "json":
        print_json([{"removed": len(removed), "freed_bytes": freed, "left": len(left), "left_bytes": rest}])
        return
    click.echo(f"{len(removed)} bundles removed, {_size(freed)} freed; {len(left)} bundles are left, {_size(rest)}")


def _size(count: int) -> str:
    return f"{count / (1 << 30):.1f} GiB" if count >= 1 << 30 else f"{count / (1 << 20):.1f} MiB"
