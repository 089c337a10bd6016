"""`porting routes`."""

from __future__ import annotations

import click

from porting.cli._shared import format_option, print_json, print_table, store_option


@click.command("routes")
@click.argument("targets", nargs=-1, metavar="[TARGET]...")
@store_option
@format_option()
def command(targets: tuple[str, ...], store: str | None, form: str) -> int:
    """List what may be changed about a model that does not pass along the usual way, and what is known to be good.

    The changes are tried by every check, those first that answer what went wrong. With TARGETs (names or globs): the routes
    that models of a family pass with there, by the records, which are tried first for others of the family.
    """
    from porting import routes
    from porting.routes.table import CHANGES

    if targets:
        return _known(targets, store, form)
    if form == "json":
        print_json(
            {
                "change": change.word,
                "to": change.level.value,
                "forms": change.kinds,
                "what": change.what,
                "answers": [routes.words_of(when) for when in change.answers],
            }
            for change in CHANGES
        )
    else:
        rows = [(c.word, c.level.value, ",".join(c.kinds), c.what) for c in CHANGES]
        print_table(("change", "to", "forms", "what"), rows)
    return 0


def _known(targets: tuple[str, ...], store: str | None, form: str) -> int:
    from fnmatch import fnmatchcase

    from porting import routes
    from porting.api import Setting

    with Setting.find(store=store).open_store() as records:
        wanted = {row.target for row in records.matrix() if any(fnmatchcase(row.target, glob) for glob in targets)}
        known = routes.known_good(records.latest(None, wanted)) if wanted else {}
    rows = [(*where.rsplit(" ", 1), found) for where, found in sorted(known.items())]
    if form == "json":
        print_json({"family": family, "target": target, "form": found} for family, target, found in rows)
    elif rows:
        print_table(("family", "target", "form"), rows)
    else:
        click.echo("no family is known to need another route than the usual one there.")
    return 0
