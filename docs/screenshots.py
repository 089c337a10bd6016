"""Take the pictures of the README from a report folder: the matrix and the page of one cell.

    python docs/screenshots.py report --cell MODEL TARGET [--out docs/images]

Needs playwright and a Chromium (`apt-get install -y --no-install-recommends chromium`). Without --cell the picture is of the
first cell with wrong numbers, else of the first pass.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote

NAMES = ("chromium", "chromium-browser", "google-chrome")
LARGEST = 200_000
"""Bytes; a picture in a repository stays small."""

# Cells are read from the page itself, so that the script knows nothing of how the report stores them.
FIND = """() => {
    const worst = Cells.all.find(({ outcome }) => outcome === "mismatch") ?? Cells.all.find(({ outcome }) => outcome === "pass");
    return worst ? [worst.model.id, worst.target.id] : null;
}"""


def main() -> int:
    """Parse the command line and take both pictures. Returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("report", type=Path, help="folder that `porting report --html` wrote")
    parser.add_argument("--cell", nargs=2, metavar=("MODEL", "TARGET"))
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("images"))
    given = parser.parse_args()
    index = given.report.resolve() / "index.html"
    if not index.is_file():
        print(f"{index} is not there; write a report first: porting report --html {given.report}", file=sys.stderr)
        return 2
    executable = next(filter(None, map(shutil.which, NAMES)), None)
    if executable is None:
        print("no browser is here: apt-get install -y --no-install-recommends chromium", file=sys.stderr)
        return 3
    given.out.mkdir(parents=True, exist_ok=True)
    return _take(index.as_uri(), executable, given.cell, given.out)


def _take(address: str, executable: str, cell: list[str] | None, out: Path) -> int:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 860}, locale="en-GB", color_scheme="light")
        sizes = [_shoot(page, f"{address}#/matrix", out / "matrix.png")]
        chosen = cell or page.evaluate(FIND)
        if chosen:
            path = "/".join(quote(part, safe="") for part in chosen)
            sizes.append(_shoot(page, f"{address}#/cell/{path}", out / "cell.png"))
        browser.close()
    return 0 if max(sizes) <= LARGEST else 1


def _shoot(page: Any, address: str, picture: Path) -> int:
    page.goto(address)
    page.reload()  # an address that differs after the hash only does not load the page anew
    page.wait_for_selector("main[data-page]")
    page.wait_for_timeout(200)
    page.screenshot(path=str(picture))
    size = picture.stat().st_size
    print(f"{picture}: {size // 1000} kB" + (f", more than {LARGEST // 1000} kB" if size > LARGEST else ""))
    return size


if __name__ == "__main__":
    sys.exit(main())
