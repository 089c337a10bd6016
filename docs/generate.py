"""Write the parts of README.md and docs/ that the code makes: the command line, the backends, the catalog's keys and numbers.

python docs/generate.py            rewrite what is between `<!-- generated: NAME -->` and `<!-- end -->`
python docs/generate.py --check    change nothing; exit 1 when a part is not what the code says
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from parts import backends, command_line, makers, models, results, tables
from parts.markdown import ROOT

PART = re.compile(r"(<!-- generated: (?P<name>[\w-]+) -->\n)(?P<text>.*?)(<!-- end -->)", re.DOTALL)

PARTS: dict[str, Callable[[], str]] = {
    "cli": command_line.cli, "backends": backends.backends, "keys": models.keys, "inputs": models.inputs,
    "catalog": models.catalog, "measured": models.measured, "families": models.families, "known": tables.known,
    "accelerators": makers.accelerators, "compatibility": results.compatibility, "rules": tables.rules,
    "situations": tables.situations, "catalog-zh": lambda: models.catalog(models.CHINESE), "routes": tables.routes,
    "rates": results.rates, "failures": results.failures, "rooms": tables.rooms, "reduced": results.reduced,
}  # fmt: skip


def pages() -> list[Path]:
    """The pages that may have generated parts."""
    return [ROOT / "README.md", ROOT / "README.zh-CN.md", *sorted((ROOT / "docs").glob("*.md"))]


def generated(text: str) -> str:
    """A page with its parts made anew. Raises KeyError for a part that nobody makes."""
    return PART.sub(lambda found: f"{found[1]}{PARTS[found['name']]().strip()}\n{found[4]}", text)


def main(arguments: Sequence[str] | None = None) -> int:
    """Write every page, or check them. Returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 when a part is stale")
    check = parser.parse_args(arguments).check
    stale = []
    for page in pages():
        old = page.read_text(encoding="utf-8")
        new = generated(old)
        if new == old:
            continue
        stale.append(page)
        if not check:
            page.write_text(new, encoding="utf-8")
    for page in stale:
        print(f"{page.relative_to(ROOT)} {'is stale: run make docs' if check else 'written'}")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
