"""A person's own repository: porting.toml, their own catalog, their own interpreters."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest
from cli_kit import Run

from porting import registry

ON = ("--on", "onnxruntime:cpu:fp32")
# What onnxruntime and our worker need, by import name; torch is not among them.
ENOUGH = (
    "numpy",
    "onnxruntime",
    "onnx",
    "ml_dtypes",
    "google",
    "flatbuffers",
    "typing_extensions",
    "packaging",
    "sympy",
    "mpmath",
)


def entry(name: str, factory: str) -> str:
    return f'[[models]]\nid = "{name}"\nsource = "factory"\nname = "{factory}"\ntiers = ["ci"]\n\n'


def test_a_model_that_cannot_be_built_is_listed_with_the_reason_and_skipped(porting: Run, setting: Path) -> None:
    idle = '[[models]]\nid = "ours/net"\nsource = "transformers"\nname = "dinat"\ncannot = "needs natten"\n'
    (setting / "porting.toml").write_text(idle)
    assert "needs natten" in porting("models", "show", "ours/net").out
    (listed,) = porting("models", "list", "ours/net", "--format", "json").json()
    assert (listed["cannot"], listed["tiers"]) == ("needs natten", [])
    assert "1 that cannot be built" in porting("models", "list", "ours/net").out
    checked = porting("check", "ours/net", *ON, "--format", "json")
    (result,) = checked.json()
    assert (checked.code, result["outcome"], result["stage"], result["bundle"]) == (0, "skipped", "build", "")
    assert "needs natten" in result["message"]


def test_init_writes_something_that_checks_at_once(porting: Run, setting: Path) -> None:
    started = porting("init")
    assert started.code == 0
    assert "porting check" in started.out
    assert {p.name for p in setting.iterdir()} == {"porting.toml", "porting_model.py"}
    assert porting("models", "validate").code == 0
    (result,) = porting("check", *ON, "--format", "json").json()
    assert result["outcome"] == "pass"
    assert result["axes"] == {"batch": "dynamic"}
    assert porting("init").code == 2, "what is there is not overwritten"


def test_init_takes_a_factory(porting: Run, setting: Path) -> None:
    assert porting("init", "small_models:narrow", "--name", "mine").code == 0
    assert [p.name for p in setting.iterdir()] == ["porting.toml"]
    (spec,) = porting("models", "show", "mine", "--format", "json").json()
    assert (spec["source"], spec["name"]) == ("factory", "small_models:narrow")


def test_a_name_or_factory_with_quotes_makes_no_broken_file(porting: Run, setting: Path) -> None:
    name = 'a "name" \\ of mine'
    assert porting("init", "small_models:narrow", "--name", name).code == 0
    assert name in {m["id"] for m in porting("models", "list", "--format", "json").json()}


def test_models_of_the_project_and_of_its_catalog_files_join_the_built_in_ones(porting: Run, setting: Path) -> None:
    (setting / "zoo").mkdir()
    (setting / "zoo" / "family.toml").write_text(entry("mine/wide", "small_models:wide"))
    (setting / "porting.toml").write_text(
        'targets = ["onnxruntime:cpu:fp32"]\n'
        + entry("mine/narrow", "small_models:narrow")
        + '[catalog]\npaths = ["zoo/*.toml"]\n'
    )
    listed = {m["id"] for m in porting("models", "list", "--format", "json").json()}
    assert {"mine/narrow", "mine/wide", "transformers/bert"} <= listed
    (result,) = porting("check", "mine/w*", "--format", "json").json()
    assert (result["model"], result["target"], result["outcome"]) == ("mine/wide", "onnxruntime:cpu:fp32", "pass")


def test_a_folder_below_belongs_to_the_project(
    porting: Run, setting: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (setting / "own_net.py").write_text("from small_models import narrow\n")
    (setting / "porting.toml").write_text(entry("mine", "own_net:narrow"))
    (setting / "deep" / "er").mkdir(parents=True)
    monkeypatch.chdir(setting / "deep" / "er")
    monkeypatch.delenv("PORTING_HOME")
    assert porting("check", *ON).code == 0
    assert (setting / ".porting" / "results.db").is_file()
    assert (setting / ".porting" / ".gitignore").read_text() == "*\n", "results are not committed by accident"


def test_the_store_named_in_porting_toml_is_used(porting: Run, setting: Path, tmp_path: Path) -> None:
    (setting / "porting.toml").write_text(f'store = "sqlite:///{tmp_path}/named.db"\n' + entry("mine", "small_models:narrow"))
    assert porting("check", *ON).code == 0
    assert (tmp_path / "named.db").is_file()
    assert not (tmp_path / "state" / "results.db").exists()


# ---- interpreters ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter that has onnxruntime and what it needs, by links, and no torch."""
    folder = tmp_path_factory.mktemp("small")
    venv.create(folder / "venv", symlinks=True)
    packages = folder / "packages"
    packages.mkdir()
    for name in ENOUGH:
        found = importlib.util.find_spec(name)
        if found is None:
            continue
        places = found.submodule_search_locations
        place = Path(next(iter(places))) if places else Path(str(found.origin))
        (packages / place.name).symlink_to(place)
        for extra in place.parent.glob(f"{name}.libs"):
            (packages / extra.name).symlink_to(extra)
    for name in ("numpy", "onnxruntime", "onnx"):  # their versions are looked up
        info = Path(str(importlib.metadata.distribution(name).locate_file("")))
        for extra in info.glob(f"{name}-*.dist-info"):
            (packages / extra.name).symlink_to(extra)
    (site,) = (folder / "venv").glob("lib/python*/site-packages")
    (site / "packages.pth").write_text(f"{packages}\n")
    return folder / "venv" / "bin" / "python"


def test_a_backend_runs_in_an_interpreter_of_its_own_without_torch(porting: Run, setting: Path, small_python: Path) -> None:
    clean = {"PATH": os.environ["PATH"]}
    has_torch = "import importlib.util, sys; sys.exit(importlib.util.find_spec('torch') is not None)"
    assert subprocess.run([str(small_python), "-c", has_torch], env=clean).returncode == 0, "or nothing is proven"
    (setting / "porting.toml").write_text(
        f'[environments.onnxruntime]\npython = "{small_python}"\nenv = {{ PYTHONNOUSERSITE = "1" }}\n\n'
        + entry("mine", "small_models:narrow")
    )
    (result,) = porting("check", *ON, "--format", "json").json()
    assert result["outcome"] == "pass", result["message"]
    assert result["environment"]["interpreter"] == str(small_python)
    assert result["environment"]["onnxruntime"] == importlib.metadata.version("onnxruntime")
    listed = {row["adapter"]: row for row in porting("env", "list", "--format", "json").json()}
    assert listed["onnxruntime"]["environment"] == "onnxruntime"
    assert listed["onnxruntime"]["command"] == [str(small_python)]
    assert listed["onnxruntime"]["installed"]["onnxruntime"] == importlib.metadata.version("onnxruntime")
    assert listed["onnxruntime"]["problem"] == ""
    assert listed["torch"]["environment"] == "base"


def test_a_result_of_one_interpreter_does_not_answer_for_another(porting: Run, setting: Path, small_python: Path) -> None:
    (setting / "porting.toml").write_text(entry("mine", "small_models:narrow"))
    (base,) = porting("check", *ON, "--format", "json").json()
    with open("porting.toml", "a") as file:
        file.write(f'[environments.onnxruntime]\npython = "{small_python}"\n')
    (own,) = porting("check", *ON, "--format", "json").json()
    assert own["outcome"] == "pass"
    assert own["key"] != base["key"]
    assert "interpreter" not in base["environment"]


@pytest.mark.parametrize(
    ("python", "wanted"),
    [("/nowhere/bin/python", "/nowhere/bin/python"), ("true", "no result"), ("./no_python", "cannot be started")],
)
def test_an_interpreter_that_does_not_serve_is_named_and_says_nothing_about_the_model(
    porting: Run, setting: Path, python: str, wanted: str
) -> None:
    (setting / "no_python").write_bytes(b"\x7fELF, but nothing a kernel starts")
    (setting / "no_python").chmod(0o755)
    (setting / "porting.toml").write_text(
        f'[environments.onnxruntime]\npython = "{python}"\n' + entry("mine", "small_models:narrow")
    )
    ended = porting("check", *ON, "--format", "json")
    assert ended.code == 3
    (result,) = ended.json()
    assert result["outcome"] == "unavailable"
    assert wanted in result["message"]
    if python == "/nowhere/bin/python":  # once is enough: each costs a start
        listed = {row["adapter"]: row for row in porting("env", "list", "--format", "json").json()}
        assert wanted in listed["onnxruntime"]["problem"]


def test_variables_alone_make_an_environment_of_the_base_interpreter(porting: Run, setting: Path) -> None:
    (setting / "porting.toml").write_text('[environments.onnxruntime.env]\nPYTHONNOUSERSITE = "1"\n')
    listed = {row["adapter"]: row for row in porting("env", "list", "--format", "json").json()}
    assert listed["onnxruntime"]["command"] == [sys.executable]
    assert listed["onnxruntime"]["problem"] == ""


def test_env_create_gives_a_backend_an_interpreter_without_torch_and_remove_takes_it_back(
    porting: Run, setting: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (setting / "porting.toml").write_text(entry("mine", "small_models:narrow"))
    made = porting("env", "create", "onnxruntime")
    assert (made.code, "runs on cpu" in made.out) == (0, True), made.err
    assert "onnxruntime: Collecting onnxruntime" in made.err
    python = own_cache / "environments" / "onnxruntime" / "bin" / "python"
    (result,) = porting("check", *ON, "--format", "json").json()
    assert result["outcome"] == "pass", result["message"]
    assert result["environment"]["interpreter"] == str(python)
    assert not list(python.parents[1].glob("lib/*/site-packages/torch"))
    with monkeypatch.context() as alone:  # or --all would make those of every backend
        alone.setattr(registry, "names", lambda: ["onnxruntime"])
        assert "there already" in porting("env", "create", "--all").out
    listed = {row["adapter"]: row for row in porting("env", "list", "--format", "json").json()}
    assert (listed["onnxruntime"]["environment"], listed["onnxruntime"]["problem"]) == ("onnxruntime", "")
    assert porting("env", "remove", "onnxruntime").out == "onnxruntime: removed\n"
    (base,) = porting("check", *ON, "--format", "json").json()
    assert base["outcome"] == "pass"
    assert "interpreter" not in base["environment"]


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("create",), 2, "name an adapter, or give --all"),
        (("create", "onnxruntim"), 2, "Did you mean onnxruntime, "),
        (("remove", "openvino"), 2, "unknown environment 'openvino'"),
        (("create", "openvino"), 2, "porting.toml names an interpreter for 'openvino' already"),
        (("create", "torch"), 3, "Python 3.77 is not here"),
    ],
)
def test_an_environment_that_cannot_be_made_says_what_to_do(
    porting: Run, setting: Path, own_cache: Path, arguments: tuple[str, ...], code: int, says: str
) -> None:
    tables = '[environments.openvino]\npython = "/usr/bin/python3"\n\n[environments.torch]\npython = "3.77"\n'
    (setting / "porting.toml").write_text(tables)
    ended = porting("env", *arguments)
    assert ended.code == code
    assert says in ended.complaint()


def test_an_environment_with_a_python_that_was_never_made_is_named(porting: Run, setting: Path, own_cache: Path) -> None:
    (setting / "porting.toml").write_text(
        '[environments.onnxruntime]\npython = "3.77"\n\n' + entry("mine", "small_models:narrow")
    )
    ended = porting("check", *ON, "--format", "json")
    (result,) = ended.json()
    assert (ended.code, result["outcome"], result["cause"]) == (3, "unavailable", "missing_dependency")
    assert "porting env create onnxruntime" in result["message"]
    listed = {row["adapter"]: row for row in porting("env", "list", "--format", "json").json()}
    assert "porting env create onnxruntime" in listed["onnxruntime"]["problem"]
