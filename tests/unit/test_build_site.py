"""The site of the docs: all pages in the navigation, no link or anchor leads nowhere, nothing is asked of the network."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest
from doc_pages import EXAMPLES, PAGES, ROOT

sys.path.insert(0, str(ROOT / "docs"))

pytest.importorskip("jinja2")
pytest.importorskip("markdown_it")

import build_site


class Read(HTMLParser):
    """What a page of the site has."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loads: list[str] = []
        """What a browser fetches with the page."""
        self.anchors: list[str] = []
        self.navigation: list[str] = []
        self.current = 0
        self._inside = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self._inside = self._inside or tag == "nav"
        if "id" in given:
            self.anchors.append(given["id"])
        if tag == "a":
            (self.navigation if self._inside else self.links).append(given["href"])
            self.current += "aria-current" in given
        elif tag in ("img", "link", "script", "iframe"):
            self.loads.append(given.get("src") or given.get("href") or "")

    def handle_endtag(self, tag: str) -> None:
        self._inside = self._inside and tag != "nav"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    build_site.build(folder)
    return folder


@pytest.fixture(scope="module")
def read(site: Path) -> dict[Path, Read]:
    """Every page, by its file."""
    return {path: Read(path.read_text(encoding="utf-8")) for path in sorted(site.rglob("*.html"))}


def test_every_page_of_the_docs_is_in_the_navigation() -> None:
    named = [source for sources in build_site.NAVIGATION.values() for source in sources]
    assert sorted(named) == sorted(set(named))
    wanted = {str(page.relative_to(ROOT)) for page in [*PAGES, EXAMPLES[0]]} | {"benchmarks/RESULTS.md"}
    assert set(named) == wanted


def test_every_page_has_the_whole_navigation_with_its_own_place(site: Path, read: dict[Path, Read]) -> None:
    named = {(site / build_site.Page(source).place) for sources in build_site.NAVIGATION.values() for source in sources}
    for path, page in read.items():
        assert {(path.parent / link).resolve() for link in page.navigation} == {place.resolve() for place in named}
        assert page.current == (path in named)


def wrong(path: Path, page: Read, read: dict[Path, Read]) -> Iterator[str]:
    for link in [*page.links, *page.navigation, *page.loads]:
        place, _, anchor = link.partition("#")
        if place.startswith(("https://", "http://")):
            continue
        target = (path.parent / unquote(place)).resolve() if place else path
        known = read.get(target)
        if not target.is_file() or (anchor and known and unquote(anchor) not in known.anchors):
            yield f"{path.name}: {link}"


def test_every_link_inside_leads_somewhere(read: dict[Path, Read]) -> None:
    pages = {path.resolve(): page for path, page in read.items()}
    assert sum(len(page.links) for page in pages.values()) > 200
    assert [found for path, page in pages.items() for found in wrong(path, page, pages)] == []


def test_anchors_are_there_once(read: dict[Path, Read]) -> None:
    for path, page in read.items():
        assert len(page.anchors) == len(set(page.anchors)), path.name


def test_nothing_is_loaded_from_elsewhere(site: Path, read: dict[Path, Read]) -> None:
    assert [load for page in read.values() for load in page.loads if "//" in load or not load] == []
    assert "url(" not in (site / "style.css").read_text()


def test_a_page_says_its_language_and_its_title(site: Path) -> None:
    chinese = (site / "README.zh-CN.html").read_text(encoding="utf-8")
    assert '<html lang="zh-CN">' in chinese
    assert '<html lang="en">' in (site / "index.html").read_text()
    assert "<title>In CI: expectations and the gate · porting</title>" in (site / "docs" / "ci.html").read_text()


def test_a_link_that_leads_nowhere_ends_the_build() -> None:
    links = build_site.Links(build_site.pages())
    page = build_site.Page("docs/ci.md")
    assert links.rewritten("catalog.md#x", page) == "catalog.html#x"
    assert links.rewritten("../README.md", page) == "../index.html"
    assert links.rewritten("../action.yml", page) == "../action.yml"
    assert links.files == {"action.yml"}
    with pytest.raises(SystemExit, match=r"nowhere\.md leads nowhere"):
        links.rewritten("nowhere.md", page)


def test_headings_that_are_alike_have_anchors_of_their_own() -> None:
    taken: dict[str, int] = {}
    assert [build_site.slug(text, taken) for text in ("One `two`", "One two", "一、二")] == ["one-two", "one-two-1", "一二"]
