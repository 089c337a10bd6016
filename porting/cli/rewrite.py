"""`porting rewrite`."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from porting.cli._shared import format_option
from porting.cli.scan import chosen_rules, existing, many, profiles
from porting.errors import UsageError

if TYPE_CHECKING:
    from porting.codemod.rewrite import Rewriting

_LEFT = {"care": "whose proof has a gap (--with-care)", "report": "for a person to decide (porting scan)"}


@click.command("rewrite")
@format_option("diff")
@click.option("--write", is_flag=True, help="Change the files. Without it a diff is shown.")
@click.option("--undo", is_flag=True, help="Take back what --write has done.")
@click.option("--with-care", "care", is_flag=True, help="Make the edits whose proof has a gap, too.")
@click.option("--rules", metavar="RULE,...", help="These rules alone.")
@click.option("--exclude", multiple=True, metavar="PATTERN", help="Leave paths out: 'tests/*'. Repeat.")
@click.option(
    "--helper", metavar="MODULE", default="", help="The helper's dotted name in your project; else a copy where it is needed."
)
@click.option(
    "--for",
    "maker",
    metavar="MAKER",
    default="",
    help="Give devices, NCCL and visible-device variables in files that are no programs this maker's names, with care.",
)
@click.option("--commit-each-rule", is_flag=True, help="Change the files, and make a git commit of each rule's edits.")
@click.argument("path", type=click.Path(path_type=Path))
def command(
    form: str,
    write: bool,
    undo: bool,
    care: bool,
    rules: str | None,
    exclude: tuple[str, ...],
    helper: str,
    maker: str,
    commit_each_rule: bool,
    path: Path,
) -> int:
    """Make code that was written for CUDA run on any accelerator, on CUDA as before, and on the CPU.

    What is proven is edited, in place, comments and formatting kept: torch.cuda becomes a small helper, porting_accel.py, that is
    copied into the project and answers for the accelerator that is there. Code cells of notebooks are edited, too; values in
    files that are no programs cannot ask what is there, and are edited --for one maker alone. Shows a diff that git apply takes;
    --write changes the files and keeps a record for --undo.

    Exit status: 0 done, or nothing to do; 1 an edit had to be left out; 2 wrong usage.
    """
    from porting.codemod import record
    from porting.codemod.scan import base_of

    existing(path)
    root = base_of(path)
    if undo:
        for changed in record.undo(root):
            click.echo(f"undone: {changed}")
        return 0
    chosen = chosen_rules(rules)
    if any(not part.isidentifier() for part in helper.split(".") if helper):
        raise UsageError(f"{helper!r} is no name of a module.", "For instance --helper mypackage.porting_accel")
    if maker and not care:
        raise UsageError("--for edits files that are then for one maker alone.", "Say --with-care, too.")
    named = profiles([maker] if maker else [])

    def planned(of: Collection[str]) -> Rewriting:
        from porting.codemod.rewrite import plan
        from porting.codemod.scan import scan

        return plan(scan(path, named, exclude), of, care, helper)

    if commit_each_rule:
        return _commits(root, chosen, planned)
    rewriting = planned(chosen)
    if write:
        record.write(rewriting)
    _show(rewriting, form, write)
    return 1 if rewriting.refused else 0


def _show(rewriting: Rewriting, form: str, written: bool) -> None:
    from porting.codemod import record

    if form == "json":
        click.echo(json.dumps([_entry(rewriting, path) for path in sorted({c.path for c in rewriting.changes})], indent=1))
    elif not written or form == "diff":
        text = record.patch(rewriting.changes, rewriting.helpers)
        click.echo(text.encode("utf-8", "surrogateescape"), nl=False)
    counts = Counter(f.rule for c in rewriting.changes for f in c.findings)
    edits = ", ".join(f"{n} {rule}" for rule, n in sorted(counts.items())) or "nothing to do"
    verb = "changed" if written else "would change"
    helpers = len(rewriting.helpers)
    copies = f", {helpers} {'copy' if helpers == 1 else 'copies'} of the helper" if helpers else ""
    click.echo(f"{verb} {many(len(rewriting.changes), 'file')}{copies}: {edits}", err=True)
    if rewriting.left:
        said = [f"{n} {_LEFT[safety]}" for safety, n in sorted(rewriting.left.items(), key=lambda item: item[0].rank)]
        click.echo(f"not edited: {', '.join(said)}", err=True)
    for finding in rewriting.refused:
        click.echo(f"left out, since the file would not parse, or the edits overlap: {finding.place} {finding.rule}", err=True)


def _entry(rewriting: Rewriting, path: str) -> dict[str, Any]:
    (change,) = [c for c in rewriting.changes if c.path == path]
    edits = [{"rule": f.rule, "line": f.line, "safety": f.safety.value, "text": f.text} for f in change.findings]
    return {"path": path, "edits": edits}


def _commits(root: Path, chosen: Collection[str], planned: Callable[[Collection[str]], Rewriting]) -> int:
    """A commit a rule. Each is planned on what the one before left."""
    from porting.codemod import record
    from porting.codemod.finding import rules as every

    if _git(root, "status", "--porcelain", "--untracked-files=no", "--", ".").strip():
        raise UsageError(
            "there are changes that are not committed.", "Commit or stash them: a commit a rule has to be of that rule alone."
        )
    refused = 0
    for rule in every():
        if chosen and rule not in chosen:
            continue
        rewriting = planned([rule])
        refused += len(rewriting.refused)
        if not rewriting.changes:
            continue
        record.apply(rewriting)
        _git(root, "add", "--", *(c.path for c in rewriting.changes), *rewriting.helpers)
        places = sum(len(c.findings) for c in rewriting.changes)
        done = f"{many(places, 'place')} in {many(len(rewriting.changes), 'file')}"
        message = f"{rule}: {every()[rule].what}\n\n{every()[rule].reason}.\n{done}."
        _git(root, "commit", "--quiet", "-m", message)
        click.echo(f"committed {rule}: {done}")
    return 1 if refused else 0


def _git(root: Path, *words: str) -> str:
    try:
        done = subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise UsageError("git is not here.", "Without it: porting rewrite --write, and --undo.") from None
    if done.returncode:
        raise UsageError(f"git {words[0]} failed: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout
