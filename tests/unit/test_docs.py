"""The docs say what is true: generated parts are current, commands parse, files and links exist, pages work when followed."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Callable
from pathlib import Path

import click
import doc_pages
import pytest
from doc_pages import EXAMPLES, PAGES, ROOT

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

sys.path.insert(0, str(ROOT / "docs"))
import generate
from parts import command_line, models

EVERY = [*PAGES, *EXAMPLES]
each_page = pytest.mark.parametrize("page", EVERY, ids=[str(page.relative_to(ROOT)) for page in EVERY])

# Files that a reader makes by following a page, or that a run writes.
MADE = ("port/", "report/", "bert/", "cases/", "checkpoint/", "onnx_evaluator/", "catalog/", "net.", "bundle.json", "results.db")


# ---- generated parts ----------------------------------------------------------------------------------------------


def test_generated_parts_are_what_the_code_says(capsys: pytest.CaptureFixture[str]) -> None:
    assert generate.main(["--check"]) == 0, capsys.readouterr().out


def test_a_stale_part_is_noticed_and_left_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "page.md"
    text = "before\n<!-- generated: keys -->\nold\n<!-- end -->\nafter\n"
    page.write_text(text)
    monkeypatch.setattr(generate, "ROOT", tmp_path)
    monkeypatch.setattr(generate, "pages", lambda: [page])
    assert generate.main(["--check"]) == 1
    assert page.read_text() == text
    assert generate.main([]) == 0
    assert generate.main(["--check"]) == 0
    assert "`license_weights`" in page.read_text()
    assert page.read_text().startswith("before\n")
    assert page.read_text().endswith("\nafter\n")


def test_every_part_is_on_a_page() -> None:
    used = {found["name"] for page in generate.pages() for found in generate.PART.finditer(page.read_text(encoding="utf-8"))}
    assert used == set(generate.PARTS)


def test_the_command_line_page_has_every_command() -> None:
    text = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    paths = [path for path, _, _ in command_line.commands()]
    assert len(paths) > 10
    assert [path for path in paths if not re.search(rf"^#+ {path}$", text, re.MULTILINE)] == []


# ---- commands -----------------------------------------------------------------------------------------------------


def parse(words: list[str], bare: bool = False) -> None:
    """Parse a command line of porting as click does, without running it. bare: a command's name alone will do, since it only
    speaks of it. Raises click.ClickException."""
    from porting.cli import root

    command: click.Command = root
    context, rest = click.Context(root, info_name="porting"), words[1:]
    while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
        name, found, rest = command.resolve_command(context, rest)
        assert found is not None
        command, context = found, click.Context(found, info_name=name, parent=context)
    if rest or not (bare or isinstance(command, click.Group)):
        command.make_context(context.info_name, rest, parent=context.parent)


@each_page
def test_commands_on_a_page_parse(page: Path) -> None:
    wrong = []
    for words, inline in doc_pages.porting_commands(page):
        try:
            parse(words, bare=inline)
        except click.exceptions.Exit:  # --help and --version have done their work
            continue
        except click.ClickException as error:
            wrong.append(f"{' '.join(words)}: {error.format_message()}")
    assert wrong == []


def test_a_command_that_does_not_exist_would_be_noticed() -> None:
    parse(["porting", "check", "transformers/bert", "--on", "onnxruntime:cpu:fp32"])
    for words in (["porting", "chekc"], ["porting", "check", "--no-such-option"], ["porting", "convert", "m"]):
        with pytest.raises(click.ClickException):
            parse(words)


@each_page
def test_make_targets_on_a_page_exist(page: Path) -> None:
    known = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    named = [code.split()[1] for code in doc_pages.inline_codes(page) if re.fullmatch(r"make [a-z-]+", code)]
    assert [name for name in named if name not in known] == []


# ---- files, links, names ------------------------------------------------------------------------------------------


@each_page
def test_links_lead_somewhere(page: Path) -> None:
    wrong = []
    for link in doc_pages.links(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if link.startswith(("http://", "https://")):
            continue
        if not target.exists() or (anchor and anchor not in doc_pages.anchors(target)):
            wrong.append(link)
    assert wrong == []


@each_page
def test_files_named_on_a_page_exist(page: Path) -> None:
    folders = ("porting", "adapters", "models", "docs", "tests", "benchmarks")
    named = [code for code in doc_pages.inline_codes(page) if re.fullmatch(r"[\w./-]+", code)]
    ours = [name for name in named if name.startswith(tuple(f"{folder}/" for folder in folders)) and not name.isupper()]
    real = [name for name in ours if not re.search(r"/_?[A-Z]{3,}", name) and name != "tests/test_adapter.py"]
    assert [name for name in real if not (ROOT / name).exists() and not (page.parent / name).exists()] == []


def test_pages_that_the_code_names_exist() -> None:
    files = [*(ROOT / "porting").rglob("*.py"), *(ROOT / "adapters").rglob("*.py"), *(ROOT / "benchmarks").rglob("*.py")]
    named = {
        (str(path.relative_to(ROOT)), name)
        for path in [*files, ROOT / "Makefile", ROOT / "pyproject.toml", ROOT / "constraints.txt"]
        for name in re.findall(r"docs/[\w-]+\.(?:md|py)", path.read_text(encoding="utf-8"))
    }
    assert named
    assert sorted(pair for pair in named if not (ROOT / pair[1]).exists()) == []


@each_page
def test_modules_and_names_of_ours_exist(page: Path) -> None:
    import importlib

    wrong = []
    for name in doc_pages.inline_codes(page):
        if not re.fullmatch(r"porting(\.\w+)+", name) or name in ("porting.toml", "porting.adapters"):
            continue
        module, _, last = name.rpartition(".")
        if importlib.util.find_spec(name) is None if _is_package(module) else True:
            found = importlib.import_module(module)
            if not hasattr(found, last):
                wrong.append(name)
    assert wrong == []


def _is_package(module: str) -> bool:
    import importlib

    return hasattr(importlib.import_module(module), "__path__")


@each_page
def test_a_page_names_no_machine(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert re.findall(r"/(?:work|tmp|home|root|Users)/\S*|\blocalhost\b", text) == []


def test_the_readme_leads_to_every_page() -> None:
    linked = {(ROOT / link.partition("#")[0]).resolve() for link in doc_pages.links(ROOT / "README.md")}
    assert [page.name for page in [*PAGES, EXAMPLES[0]] if page != ROOT / "README.md" and page.resolve() not in linked] == []


def _rows(page: Path) -> list[int]:
    """How many columns each line of each table has."""
    return [line.count("|") for line in doc_pages.prose(page).splitlines() if line.startswith("|")]


@pytest.mark.parametrize(
    "part",
    [
        lambda page: [level for level, _ in doc_pages.headings(page)],
        doc_pages.blocks,
        lambda page: sorted(doc_pages.inline_codes(page)),
        lambda page: [link for link in doc_pages.links(page) if not link.startswith("README")],
        _rows,
        lambda page: len(re.findall(r"^- ", doc_pages.prose(page), re.MULTILINE)),
    ],
    ids=["levels of headings", "blocks", "commands and names", "links", "tables", "items"],
)
def test_the_chinese_readme_is_level_with_the_readme(part: Callable[[Path], object]) -> None:
    assert part(doc_pages.CHINESE) == part(ROOT / "README.md")


def test_the_readmes_lead_to_each_other() -> None:
    assert "README.zh-CN.md" in doc_pages.links(ROOT / "README.md")
    assert "README.md" in doc_pages.links(doc_pages.CHINESE)


def test_the_pictures_of_the_readme_are_small_pictures() -> None:
    pictures = [ROOT / link for link in doc_pages.links(ROOT / "README.md") if link.endswith(".png")]
    assert len(pictures) == 2
    for picture in pictures:
        data = picture.read_bytes()
        assert data.startswith(b"\x89PNG")
        assert len(data) < 200_000


def test_the_readme_explains_every_outcome_and_evidence() -> None:
    from porting.report.words import GLYPHS
    from porting.types import Evidence, Outcome, Stage

    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [o.value for o in Outcome if f"| {GLYPHS[o]} | `{o.value}` |" not in text] == []
    assert [e.value for e in Evidence if f"| `{e.value}` |" not in text] == []
    assert [s.value for s in Stage if f"`{s.value}`" not in text] == []


# ---- what the code declares and a page explains -------------------------------------------------------------------


def _requirements(of: dict[str, object]) -> set[str]:
    return {re.split(r"[<>=!~;\[ ]", str(line))[0] for line in of}


def test_every_dependency_and_extra_has_its_reason() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    text = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8")
    rows = {found[1] for found in re.finditer(r"^\| `([\w-]+)` \|", text, re.MULTILINE)}
    wanted = _requirements(project["dependencies"]) | set(project["optional-dependencies"])
    assert rows == wanted
    inside = set().union(*map(_requirements, project["optional-dependencies"].values())) - {"porting"}
    assert [name for name in sorted(inside) if f"`{name}`" not in text] == []


def test_the_catalog_page_explains_every_key_of_porting_toml() -> None:
    from porting.catalog import file as catalog_file
    from porting.catalog import project

    text = (ROOT / "docs" / "catalog.md").read_text(encoding="utf-8")
    assert [key for key in (*catalog_file.TABLES, *project._KEYS) if f"`{key}`" not in text and f"[{key}" not in text] == []


def test_the_kinds_of_input_are_all_explained() -> None:
    from porting.bundles.cases import KINDS

    assert [kind for kind in KINDS if f"`{kind}`" not in models.inputs()] == []


def test_the_adapter_page_explains_every_declaration() -> None:
    from porting.adapter import Adapter

    text = (ROOT / "docs" / "adapters.md").read_text(encoding="utf-8")
    declared = [name for name in Adapter.__annotations__ if name != "contract"]
    assert declared
    assert [name for name in declared if f"| `{name}` |" not in text] == []


def test_the_adapter_of_the_page_has_its_methods_inside_the_class() -> None:
    pieces = [b.text for b in doc_pages.blocks(ROOT / "docs" / "adapters.md") if "onnx_evaluator/adapter.py" in b.does.values()]
    adapter, session = (node for node in ast.parse("".join(pieces)).body if isinstance(node, ast.ClassDef))
    assert {f.name for f in adapter.body if isinstance(f, ast.FunctionDef)} == {"probe", "convert", "load", "classify"}
    assert {f.name for f in session.body if isinstance(f, ast.FunctionDef)} > {"run", "placement", "effective_precision"}


@each_page
def test_blocks_are_what_they_say(page: Path) -> None:
    pieces: dict[str, str] = {}
    for block in doc_pages.blocks(page):
        assert block.does.keys() <= {"file", "append", "run", "output"}, block.does
        place = block.does.get("file") or block.does.get("append") or f"block {len(pieces)}"
        pieces[place] = pieces.get(place, "") + block.text if "append" in block.does else block.text
        if block.language == "toml":
            tomllib.loads(pieces[place])
        elif block.language == "python":
            ast.parse(pieces[place])


# ---- following a page ---------------------------------------------------------------------------------------------


def test_a_new_family_takes_less_than_fifteen_lines(tmp_path: Path) -> None:
    from porting import catalog

    block = next(b for b in doc_pages.blocks(ROOT / "docs" / "catalog.md") if b.does.get("file") == "catalog/roformer.toml")
    assert len(block.text.splitlines()) < 15
    file = tmp_path / "roformer.toml"
    file.write_text(block.text)
    specs = catalog.load([file])
    assert specs.ids() == ["ours/roformer", "ours/roformer-deep"]
    assert {spec.family for spec in specs} == {"roformer"}


def test_a_follower_notices_a_command_that_fails_and_output_that_is_not_there(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    follower = doc_pages.Follower(tmp_path)
    page.write_text("```text file=a.txt\none\n```\n```sh run\ncat a.txt\n```\n```text output\none\n```\n")
    assert follower.follow(page) == 1
    page.write_text("```sh run\nfalse\n```\n")
    with pytest.raises(AssertionError, match="ended with 1"):
        follower.follow(page)
    page.write_text("```sh run\necho one\n```\n```text output\ntwo\n```\n")
    with pytest.raises(AssertionError, match="'two' is not in"):
        follower.follow(page)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("name", "runs"),
    [("README.md", 2), ("docs/adapters.md", 3), ("docs/catalog.md", 2), ("docs/api.md", 1), ("docs/operators.md", 2)],
)
def test_a_page_can_be_followed_to_the_letter(name: str, runs: int, tmp_path: Path) -> None:
    if name == "README.md":
        pytest.importorskip("openvino")
    if name in ("docs/adapters.md", "docs/catalog.md"):
        pytest.importorskip("transformers")
    folder = tmp_path / "reader"
    folder.mkdir()
    assert doc_pages.Follower(folder, doc_pages.environment(tmp_path)).follow(ROOT / name) == runs
