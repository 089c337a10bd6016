"""A headless Chromium that opens reports from disk, and watches that a page does nothing it should not."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "unit"))  # sample_results is shared with the unit tests
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))  # and the large sample with what measures

import report_site
import sample_results as sample

from porting.report import Matrix
from porting.report.html import write_site

NAMES = ("chromium", "chromium-browser", "google-chrome")
INSTALL = "apt-get install -y --no-install-recommends chromium"

Open = Callable[..., Any]


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    executable = next(filter(None, map(shutil.which, NAMES)), None)
    if executable is None:
        pytest.skip(f"no browser is here; install one: {INSTALL}")
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed; pip install playwright")
    with sync_api.sync_playwright() as play:
        running = play.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        yield running
        running.close()


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """Write a sample as a report, once a session; gives the address of its index.html."""
    folder = tmp_path_factory.mktemp("reports")
    made: dict[str, str] = {}

    def write(name: str) -> str:
        if name not in made:
            matrix: Matrix = report_site.matrix() if name == "published" else getattr(sample, name)()
            made[name] = write_site(matrix, folder / name).as_uri()
        return made[name]

    return write


@pytest.fixture
def open_report(browser: Any, site: Callable[[str], str]) -> Iterator[Open]:
    """Open a page of a sample report. Afterwards: nothing was said on the console, no dialog came up, only files were read."""
    contexts: list[Any] = []
    complaints: list[str] = []

    def watch(page: Any) -> None:
        page.on("console", lambda message: complaints.append(f"console {message.type}: {message.text}"))
        page.on("pageerror", lambda error: complaints.append(f"error: {error}"))
        page.on("dialog", lambda dialog: (complaints.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        page.on(
            "request", lambda request: request.url.startswith(("file:", "data:")) or complaints.append(f"request: {request.url}")
        )

    def open_(name: str, *route: str, query: str = "", width: int = 1280, height: int = 900, **context: Any) -> Any:
        options = {"viewport": {"width": width, "height": height}, "locale": "en-GB", "color_scheme": "light", **context}
        contexts.append(browser.new_context(**options))
        page = contexts[-1].new_page()
        page.set_default_timeout(20_000)
        watch(page)
        page.goto(site(name) + address(*route, query=query))
        page.wait_for_selector("main[data-page]")
        return page

    yield open_
    for one in contexts:
        one.close()
    assert complaints == []


@pytest.fixture(scope="session")
def axe() -> str:
    package = pytest.importorskip("axe_playwright_python", reason="axe is not installed; pip install axe-playwright-python")
    return (files(package) / "axe.min.js").read_text(encoding="utf-8")


def address(*route: str, query: str = "") -> str:
    """The hash of a page: `#/cell/model/target`."""
    path = "/".join(quote(part, safe="") for part in route)
    return f"#/{path}" + (f"?q={quote(query, safe='')}" if query else "")
