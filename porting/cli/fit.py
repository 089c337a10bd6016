"""`porting fit`."""

from __future__ import annotations

import click

from porting.cli._shared import format_option, print_json, print_table, trust_option

GIB = 1 << 30


@click.command("fit")
@click.argument("model")
@click.option(
    "--on", "on", multiple=True, metavar="MAKER,...", help="Makers whose cards are tried; all that have cards by default."
)
@click.option(
    "--context", type=click.IntRange(min=1), default=4096, show_default=True, help="Tokens of a sequence, prompt and answer."
)
@click.option("--batch", type=click.IntRange(min=1), default=1, show_default=True, help="Sequences at a time.")
@click.option(
    "--dtype",
    type=click.Choice(["float32", "float16", "bfloat16"]),
    default="bfloat16",
    show_default=True,
    help="Of what is computed.",
)
@trust_option
@format_option()
def command(model: str, on: tuple[str, ...], context: int, batch: int, dtype: str, trust: bool, form: str) -> int:
    """Tell whether a model of full size fits on a card: weights by precision, cache of keys and values, the largest tensor on the
    way, and how many cards that takes. Each figure says how it was had.

    The model is built without its weights: a catalog id, or a folder with its config.json, of any size.
    """
    from porting.api import Setting
    from porting.static.fit import fit

    setting = Setting.find()
    (spec,) = setting.resolve([model], trust=trust)
    with setting.pipeline() as pipeline:
        found = fit(pipeline.jobs, spec, [name for names in on for name in names.split(",") if name], context, batch, dtype)
    if form == "json":
        print_json([found])
        return 0
    click.echo(f"{found.model}: {found.parameters:,} parameters, computed in {dtype}\n")
    print_table(("what", "GiB", "how it was had"), [(f.what, f"{f.bytes / GIB:.2f}", f.how) for f in found.figures])
    click.echo()
    heads = ("card", "maker", "GiB", *(f"cards at {name}" for name in found.weights))
    print_table(heads, [(c.name, c.maker, f"{c.memory_gib:g}", *map(str, c.needed.values())) for c in found.cards])
    click.echo(f"\n{found.rule}")
    return 0
