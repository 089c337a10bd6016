"""Take the pictures of the docs from a report folder: the front page, the matrix, a target and a cell, and the matrix in Chinese,
dark, on a phone.

    python docs/screenshots.py report [--only NAME]... [--cell MODEL TARGET] [--out docs/images]

Needs playwright and a Chromium (`apt-get install -y --no-install-recommends chromium`), and for Chinese a font that has it
(`fonts-wqy-microhei`). Without --cell the pictures are of the first cell with wrong numbers, else of the first pass.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

NAMES = ("chromium", "chromium-browser", "google-chrome")
LARGEST = 200_000
"""Bytes; a picture in a repository stays small."""


@dataclass(frozen=True)
class Picture:
    """A page, and how it is looked at."""

    page: str
    """Of the address; {model} and {target} are of the chosen cell."""
    width: int = 1280
    height: int = 860
    scheme: Literal["light", "dark"] = "light"
    locale: str = "en-GB"


PICTURES = {
    "overview": Picture("#/", height=1180),
    "matrix": Picture("#/matrix"),
    "target": Picture("#/target/{target}", height=760),
    "cell": Picture("#/cell/{model}/{target}"),
    "phone": Picture("#/matrix", 390, 844, "dark", "zh-CN"),
}

# Of the page's own index (data.js): a cell with wrong numbers, else one that passed.
FIND = """() => {
    const at = outcome => DATA.cells.outcome.indexOf(String.fromCharCode(65 + DATA.outcomes.indexOf(outcome)));
    const place = at("mismatch") >= 0 ? at("mismatch") : at("pass");
    const count = DATA.targets.length;
    return place < 0 ? null : [DATA.models[Math.floor(place / count)][0], DATA.targets[place % count][0]];
}"""


def main() -> int:
    """Parse the command line and take the pictures. Returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("report", type=Path, help="folder that `porting report --html` wrote")
    parser.add_argument("--only", action="append", choices=PICTURES, help="only this picture; may be repeated")
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
    return _take(index.as_uri(), executable, given.cell, given.only or list(PICTURES), given.out)


def _take(address: str, executable: str, cell: list[str] | None, names: Sequence[str], out: Path) -> int:
    from playwright.sync_api import sync_playwright

    sizes = [0]
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        for name in names:
            look = PICTURES[name]
            size = {"width": look.width, "height": look.height}
            page = browser.new_page(viewport=size, locale=look.locale, color_scheme=look.scheme)  # type: ignore[arg-type]
            sizes.append(_shoot(page, address, look.page, cell, out / f"{name}.png"))
            page.close()
        browser.close()
    return 0 if max(sizes) <= LARGEST else 1


def _shoot(page: Any, address: str, place: str, cell: list[str] | None, picture: Path) -> int:
    page.goto(address)
    page.wait_for_selector("main[data-page]")
    chosen = cell or page.evaluate(FIND)
    if chosen:
        model, target = (quote(part, safe="") for part in chosen)
        page.goto(address + place.format(model=model, target=target))
        page.reload()  # an address that differs after the hash only does not load the page anew
        page.wait_for_selector("main[data-page]")
    page.wait_for_timeout(200)
    page.screenshot(path=str(picture))
    size = picture.stat().st_size
    print(f"{picture}: {size // 1000} kB" + (f", more than {LARGEST // 1000} kB" if size > LARGEST else ""))
    return size


if __name__ == "__main__":
    sys.exit(main())
