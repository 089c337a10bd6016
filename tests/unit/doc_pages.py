"""README.md, docs/ and examples/ as data: their blocks, links, commands, and following a page in a folder. No assertions here.

A code block says in its info string what a reader does with it: `file=PATH` and `append=PATH` write it, `run` runs it; the
lines of a `text output` block occur in what the block before printed.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CHINESE = ROOT / "README.zh-CN.md"
PAGES = [ROOT / "README.md", CHINESE, ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
EXAMPLES = [ROOT / "examples" / "README.md", *sorted((ROOT / "examples").glob("*/README.md"))]
FENCE = re.compile(r"^(`{3,})(?P<info>[^\n`]*)\n(?P<text>.*?)^\1\s*$", re.DOTALL | re.MULTILINE)
INLINE = re.compile(r"`([^`]+)`")
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    language: str
    does: Mapping[str, str]
    """What the info string says besides the language: `{"file": "x.py"}`, `{"run": ""}`."""
    text: str


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page, in order."""
    found = []
    for match in FENCE.finditer(page.read_text(encoding="utf-8")):
        language, *words = match["info"].split() or [""]
        does = {key: value for key, _, value in (word.partition("=") for word in words)}
        found.append(Block(language, does, match["text"]))
    return found


def prose(page: Path) -> str:
    """A page without its fenced blocks; the text between the words of one inline code is on one line."""
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    return INLINE.sub(lambda found: "`" + " ".join(found[1].split()) + "`", text)


def inline_codes(page: Path) -> list[str]:
    """What stands in backticks outside of fenced blocks."""
    return INLINE.findall(prose(page))


def headings(page: Path) -> list[tuple[int, str]]:
    """Level and text of every heading, in order."""
    found = re.findall(r"^(#+) +(.+?)\s*$", FENCE.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return [(len(marks), text) for marks, text in found]


def links(page: Path) -> list[str]:
    """Targets of links and images."""
    return LINK.findall(prose(page))


def anchors(page: Path) -> set[str]:
    """What a link to a part of the page may name, as GitHub makes it from headings."""
    return {re.sub(r"[^\w\- ]", "", head.lower().replace("`", "")).replace(" ", "-") for _, head in headings(page)}


def shell_lines(block: Block) -> list[str]:
    """Command lines of a shell block, continued ones joined, without comments and prompts."""
    text = block.text.replace("\\\n", " ")
    return [line.strip().removeprefix("$ ") for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]


def porting_commands(page: Path) -> Iterator[tuple[list[str], bool]]:
    """Words of every `porting ...` command on a page, and whether it stands in the text rather than in a block."""
    lines = [(line, False) for block in blocks(page) if block.language == "sh" for line in shell_lines(block)]
    for line, inline in [*lines, *((code, True) for code in inline_codes(page))]:
        if line.startswith("porting "):
            yield shlex.split(line, comments=True), inline


# ---- following a page ---------------------------------------------------------------------------------------------


@dataclass
class Follower:
    """Does in a folder of its own what a page tells a reader to do."""

    folder: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    said: str = ""
    """What the block that was run last printed."""

    def follow(self, page: Path) -> int:
        """Do every block. Returns how many were run. Raises AssertionError when a command fails or prints something else."""
        ran = 0
        for block in blocks(page):
            if "file" in block.does or "append" in block.does:
                self._write(block)
            elif "run" in block.does:
                self._run(block)
                ran += 1
            elif "output" in block.does:
                self._compare(block)
        return ran

    def _write(self, block: Block) -> None:
        path = self.folder / (block.does.get("file") or block.does["append"])
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "w" if "file" in block.does else "a", encoding="utf-8") as file:
            file.write(block.text)

    def _run(self, block: Block) -> None:
        command = ["bash", "-euo", "pipefail"] if block.language == "sh" else ["python", "-"]
        environment = {**os.environ, **self.environment}
        done = subprocess.run(
            command, input=block.text, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=280
        )
        self.said = done.stdout + done.stderr
        assert done.returncode == 0, f"{block.text}ended with {done.returncode}:\n{self.said}"

    def _compare(self, block: Block) -> None:
        said = " ".join(self.said.split())
        for line in block.text.splitlines():
            assert " ".join(line.split()) in said, f"{line!r} is not in:\n{self.said}"


def environment(folder: Path) -> dict[str, str]:
    """Variables for following a page: state and cache in `folder`, quiet terminals, this environment's packages.

    `pip install .` goes to an environment of its own there, which sees the packages of this one, and takes nothing from an index.
    """
    venv = folder / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True)
    own = Path(sysconfig.get_path("purelib", "venv", {"base": str(venv), "platbase": str(venv)}))
    here = [sysconfig.get_path("purelib"), str(ROOT)]
    (own / "here.pth").write_text("".join(f"import site; site.addsitedir({path!r})\n" for path in here))
    for name, module in (("pip", "pip"), ("porting", "porting")):
        script = venv / "bin" / name
        script.write_text(f'#!/bin/sh\nexec "{venv}/bin/python" -m {module} "$@"\n')
        script.chmod(0o755)
    return {
        "PATH": f"{venv / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "VIRTUAL_ENV": str(venv),
        "PORTING_HOME": str(folder / "state"),
        "PORTING_CACHE": os.environ.get("PORTING_CACHE", str(folder / "cache")),
        "OMP_NUM_THREADS": "1",
        "COLUMNS": "120",
        "PIP_NO_INDEX": "1",
        "PIP_NO_DEPS": "1",
        "PIP_NO_BUILD_ISOLATION": "0",  # pip reads it the wrong way round: this switches isolation off
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
