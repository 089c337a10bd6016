"""`porting scan`."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from porting.cli._shared import format_option, print_table
from porting.errors import UsageError

if TYPE_CHECKING:
    from porting.codemod.effort import Share
    from porting.codemod.finding import Finding
    from porting.codemod.scan import Scanned


@click.command("scan")
@format_option("sarif")
@click.option(
    "--for", "makers", multiple=True, metavar="MAKER", help="Tell dtypes and operators that a maker lacks: ascend, mlu. Repeat."
)
@click.option("--exclude", multiple=True, metavar="PATTERN", help="Leave paths out: 'tests/*'. Repeat.")
@click.option("--rules", metavar="RULE,...", help="These rules alone, in the shares and the estimate, too.")
@click.option("--baseline", type=click.Path(path_type=Path, dir_okay=False), help="Count as new only what this file lacks.")
@click.option(
    "--write-baseline", type=click.Path(path_type=Path, dir_okay=False), help="Write what is found here, and end with 0."
)
@click.option("--effort", type=click.Path(path_type=Path, dir_okay=False), help="Hours of your own for the estimate, as TOML.")
@click.argument("path", type=click.Path(path_type=Path))
def command(
    form: str,
    makers: tuple[str, ...],
    exclude: tuple[str, ...],
    rules: str | None,
    baseline: Path | None,
    write_baseline: Path | None,
    effort: Path | None,
    path: Path,
) -> int:
    """Find what in source code is written for CUDA: rule, place, how far it can be rewritten, and why.

    PATH is a folder or a file: Python, notebooks, CUDA C++, YAML, JSON, TOML, shell, Dockerfiles, requirements. Nothing of it is
    run, and torch is imported for --for alone, which asks it what operators are made of.

    \b
    safe    porting rewrite changes it; same on CUDA and on the CPU
    care    porting rewrite --with-care changes it; the proof has a gap
    report  a person has to decide
    keep    harmless as it stands; never a reason to fail

    A line is set aside by a comment with a reason: # porting: ignore[PRT210] why.

    Exit status: 0 nothing is found but what may be kept, or nothing that the baseline lacks; 1 something is; 2 wrong usage.
    """
    from porting.codemod import baseline as baselines
    from porting.codemod import effort as efforts
    from porting.codemod.finding import Safety
    from porting.codemod.scan import scan

    existing(path)
    if baseline and write_baseline:
        raise UsageError("--baseline and --write-baseline exclude each other.", "Write one first, then compare with it.")
    hours = efforts.read(effort) if effort else None
    known = baselines.read(baseline) if baseline else None
    chosen = chosen_rules(rules)
    targets = profiles(makers)
    for profile in targets:
        if not profile.listed:
            click.echo(f"{profile.vendor} has no published list of operators: dtypes alone are held against it", err=True)
    scanned = scan(path, targets, exclude, _progress())
    if chosen:
        scanned = scanned.only(chosen)
    found = scanned.findings
    counted = [f for f in found if f.safety is not Safety.KEEP]
    if write_baseline:
        count = baselines.write(write_baseline, counted)
        click.echo(f"{write_baseline}: {count} findings", err=True)
        return 0
    new = baselines.new(counted, known) if known is not None else counted
    fresh = {id(f) for f in new}
    if form == "json":
        work = efforts.shares(found, hours)
        entries = [_json(f, id(f) in fresh, share) for f, share in zip(found, work, strict=True)]
        click.echo(json.dumps(entries, ensure_ascii=False, indent=1))
    elif form == "sarif":
        from porting.codemod import sarif

        log = sarif.log(found, fresh, scanned.ignored, known is not None, efforts.estimate(found, hours))
        click.echo(json.dumps(log, ensure_ascii=False, indent=1))
    else:
        shown = new if known is not None else found
        gone = None if known is None else baselines.gone(counted, known)
        _table(scanned, shown, efforts.estimate(found, hours), gone, bool(chosen))
    return 1 if new else 0


def existing(path: Path) -> None:
    """Raises UsageError where there is nothing."""
    if not path.exists():
        raise UsageError(f"there is no {path}.", "A folder, or a file.")


def chosen_rules(words: str | None) -> Collection[str]:
    """The rules that a person names. Raises UsageError for one that there is none of."""
    from porting.codemod.finding import rules

    named = [word.strip().upper() for word in (words or "").split(",") if word.strip()]
    unknown = [word for word in named if word not in rules()]
    if unknown:
        raise UsageError(f"there is no rule {', '.join(unknown)}.", f"Rules: {', '.join(rules())}.")
    return named


def many(count: int, word: str) -> str:
    """A count and what is counted."""
    return f"{count} {word}{'' if count == 1 else 's'}"


def profiles(makers: Sequence[str]) -> list[Any]:
    """The makers that a person names. Raises UsageError for one that there is none of."""
    if not makers:
        return []
    from porting.accelerators.profile import find, load

    known = load()
    found = []
    for name in makers:
        profile = find(name, known)
        if profile is None:
            raise UsageError(f"there is no profile for {name!r}.", f"Known: {', '.join(known)}.")
        found.append(profile)
    return found


def _progress() -> Any:
    """A line on a terminal that says how far it is."""
    import sys

    if not sys.stderr.isatty():
        return lambda _done, _all: None

    def show(done: int, every: int) -> None:
        click.echo(f"\r{done} of {every} files\x1b[K" + ("\r\x1b[K" if done + 64 >= every else ""), err=True, nl=False)

    return show


def _json(finding: Finding, new: bool, work: Share) -> dict[str, Any]:
    from porting.codemod.finding import rules
    from porting.codemod.words import remedy

    rule = rules()[finding.rule]
    return {
        "rule": finding.rule,
        "what": rule.what,
        "kind": rule.kind,
        "path": finding.path,
        "line": finding.line,
        "column": finding.column,
        "cell": finding.cell or None,
        "text": finding.text,
        "safety": finding.safety.value,
        "reason": finding.why or rule.reason,
        "remedy": remedy(finding.rule),
        "details": dict(finding.details) if finding.details else None,
        "new": new,
        "effort": {"what": work.what, "hours": work.hours} if work.what else None,
    }


def _alternatives(findings: Sequence[Finding]) -> list[str]:
    """What can stand in for each package that is bound to CUDA, anywhere and by brand."""
    known = {f.details["package"]: f.details["alternatives"] for f in findings if f.details and "package" in f.details}
    said = {name: [f"{brand}: {what}" for brand, what in found.items() if brand != "anywhere"] for name, found in known.items()}
    return ["; ".join([f"{name}: {known[name]['anywhere']}", *said[name]]) for name in sorted(known)]


def _table(scanned: Scanned, shown: Sequence[Finding], work: Sequence[Any], gone: int | None, chosen: bool) -> None:
    from porting.codemod.finding import Safety, rules
    from porting.codemod.words import remedy

    order = sorted(shown, key=lambda f: (f.safety.rank, f.path, f.cell, f.line, f.column))
    if shown:
        print_table(
            ("class", "rule", "place", "text", ""), [(f.safety.value, f.rule, f.place, f.text[:60], f.why) for f in order]
        )
        click.echo()
        for rule in sorted({f.rule for f in shown}):
            about, of_it = rules()[rule], [f for f in shown if f.rule == rule]
            click.echo(f"{rule}  {len(of_it)} x {about.what}\n    why: {about.reason}\n    do:  {remedy(rule)}")
            for line in _alternatives(of_it):
                click.echo(f"         {line}")
        click.echo()
    counts = ", ".join(f"{n} {s.value}" for s in Safety if (n := sum(1 for f in shown if f.safety is s)))
    nothing = "nothing found" if gone is None else "nothing new"
    click.echo(f"{many(scanned.files, 'file')}, {many(scanned.python_lines, 'line')} of Python: {counts or nothing}")
    if scanned.ignored:
        click.echo(f"{len(scanned.ignored)} set aside by comments:")
        for item in scanned.ignored:
            click.echo(f"    {item.finding.place} {item.finding.rule}: {item.reason}")
    if gone is not None:
        click.echo(
            f"only what the baseline lacks is shown, {gone} of its findings are gone; what follows is of all that is found"
        )
    safe, both = scanned.share(Safety.SAFE), scanned.share(Safety.SAFE, Safety.CARE)
    if safe is not None and both is not None:
        what = "of what these rules find" if chosen else "of what is found"
        click.echo(f"{what} in code {safe:.0%} can be rewritten safely, {both:.0%} with care")
    if work:
        click.echo("effort, by assumed hours (--effort changes them):")
        for line in work:
            click.echo(f"    {line.count:5d} {line.what:18s} x {line.hours:5.2f} h = {line.total:7.1f} h")
        click.echo(f"    {sum(line.total for line in work):38.1f} h in all")
