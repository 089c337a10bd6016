"""Write README.md, docs/ and examples/ as a site of static pages that opens from disk: no server, no network, no script.

python docs/build_site.py [FOLDER]    the folder is `site` by default

Pages are the same Markdown that GitHub shows; links between them lead to the pages, links to other files to copies of those.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markdown_it import MarkdownIt

ROOT = Path(__file__).resolve().parent.parent
THEME = ROOT / "docs" / "theme"

NAVIGATION: Mapping[str, Sequence[str]] = {
    "Start": ("README.md", "README.zh-CN.md", "examples/README.md", "docs/verdicts.md", "docs/pipeline.md", "docs/trust.md"),
    "Models": (
        "docs/catalog.md",
        "docs/export.md",
        "docs/served.md",
        "docs/operators.md",
        "docs/precision.md",
        "docs/diagnosis.md",
    ),
    "Targets": ("docs/backends.md", "docs/accelerators.md", "docs/adapters.md", "docs/pass-rates.md", "docs/compatibility.md"),
    "Runs": ("docs/ci.md", "docs/report.md", "docs/fleet.md", "docs/source-porting.md"),
    "Reference": ("docs/cli.md", "docs/api.md", "docs/dependencies.md", "benchmarks/RESULTS.md", "CHANGELOG.md"),
}
"""Sections and their pages."""

BELOW: Mapping[str, str] = {"examples/*/README.md": "examples/README.md", "examples/*/report.md": "examples/README.md"}
"""Pages that one in the navigation leads to, as globs."""


@dataclass(frozen=True)
class Page:
    """A Markdown file of the repository."""

    source: str
    """Its path in the repository, which it has in the site too."""

    @property
    def text(self) -> str:
        return (ROOT / self.source).read_text(encoding="utf-8")

    @property
    def place(self) -> str:
        """Its file in the site. What GitHub shows for a folder is the folder's index."""
        folder, name = os.path.split(self.source)
        return os.path.join(folder, "index.html" if name == "README.md" else f"{name.removesuffix('.md')}.html")

    @property
    def title(self) -> str:
        found = re.search(r"^# +(.+)$", self.text, re.MULTILINE)
        return found[1].strip() if found else self.source

    @property
    def language(self) -> str:
        return "zh-CN" if ".zh-CN." in self.source else "en"

    @property
    def label(self) -> str:
        """Its name in the navigation."""
        return {"README.md": "Overview", "README.zh-CN.md": "中文"}.get(self.source, self.title)


def pages() -> list[Page]:
    """Every page of the site."""
    below = (str(path.relative_to(ROOT)) for pattern in BELOW for path in sorted(ROOT.glob(pattern)))
    return [Page(source) for source in (*(name for names in NAVIGATION.values() for name in names), *below)]


# ---- Markdown to HTML ---------------------------------------------------------------------------------------------


def slug(text: str, taken: dict[str, int]) -> str:
    """The anchor of a heading, as GitHub makes it; of several alike the later ones are numbered."""
    plain = re.sub(r"[^\w\- ]", "", text.lower().replace("`", "")).replace(" ", "-")
    taken[plain] = taken.get(plain, -1) + 1
    return f"{plain}-{taken[plain]}" if taken[plain] else plain


class Links:
    """Turns what a page names into what its file in the site can reach, and notes which files have to be copied."""

    def __init__(self, known: Sequence[Page]) -> None:
        self._known = {page.source: page for page in known}
        self.files: set[str] = set()

    def rewritten(self, link: str, page: Page) -> str:
        """A link of a page as it is in the site. Raises SystemExit for one that leads nowhere."""
        path, mark, anchor = link.partition("#")
        if re.match(r"[a-z]+:", link) or not path:
            return link
        named = os.path.normpath(os.path.join(os.path.dirname(page.source), unquote(path)))
        if named in self._known:
            place = self._known[named].place
        elif (ROOT / named).is_file():
            self.files.add(named)
            place = named
        else:
            sys.exit(f"{page.source}: {link} leads nowhere in the site")
        return quote(os.path.relpath(place, os.path.dirname(page.place) or ".")) + mark + anchor


def body(page: Page, links: Links) -> tuple[str, list[tuple[str, str]]]:
    """The HTML of a page, and its headings of the second level as anchor and text."""
    markdown = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    markdown.add_render_rule("table_open", lambda *_: '<div class="wide" tabindex="0"><table>\n')
    markdown.add_render_rule("table_close", lambda *_: "</table></div>\n")
    tokens = markdown.parse(page.text)
    contents, taken = [], dict[str, int]()
    for opening, inside in pairwise(tokens):
        if opening.type == "heading_open":
            anchor = slug(_plain(inside), taken)
            opening.attrSet("id", anchor)
            contents += [(anchor, _plain(inside))] if opening.tag == "h2" else []
    for token in _inner(tokens):
        for name in ("href", "src"):
            if name in token.attrs:
                token.attrSet(name, links.rewritten(str(token.attrs[name]), page))
    return markdown.renderer.render(tokens, markdown.options, {}), contents


def _inner(tokens: Sequence[Any]) -> Iterator[Any]:
    for token in tokens:
        yield token
        yield from _inner(token.children or ())


def _plain(heading: Any) -> str:
    return "".join(token.content for token in heading.children if token.type in ("text", "code_inline"))


# ---- the site -----------------------------------------------------------------------------------------------------


def build(folder: Path) -> list[Page]:
    """Write the site to a folder. Returns its pages."""
    known = pages()
    links, by_source = Links(known), {page.source: page for page in known}
    theme = Environment(loader=FileSystemLoader(THEME), autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    for page in known:
        text, contents = body(page, links)

        def to(place: str, here: Page = page) -> str:
            return quote(os.path.relpath(place, os.path.dirname(here.place) or "."))

        sections = {name: [by_source[source] for source in sources] for name, sources in NAVIGATION.items()}
        html = theme.get_template("page.html").render(page=page, body=text, contents=contents, sections=sections, to=to)
        place = folder / page.place
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(html, encoding="utf-8")
    shutil.copyfile(THEME / "style.css", folder / "style.css")
    for name in sorted(links.files):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, folder / name)
    return known


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=Path("site"), help="where to write it; default: site")
    folder = parser.parse_args().folder
    print(f"{len(build(folder))} pages; open {folder / 'index.html'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
