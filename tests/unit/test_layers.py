"""The house keeps its layers: who may import whom, what is imported when, and no circles."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PORTING = sorted((ROOT / "porting").rglob("*.py"))
ADAPTERS = sorted((ROOT / "adapters").rglob("*.py"))
KNOWN = sorted((ROOT / "porting" / "accelerators").glob("*.py"))
BACKENDS = (
    "openvino", "inductor", "aotinductor", "iree", "tvm", "executorch", "ncnn", "MNN", "rknn", "tpu_mlir", "litert", "torch_npu",
    "torch_mlu", "onnxruntime_openvino", "tinygrad", "jax", "torchax",
)  # fmt: skip
WORKER_SIDE = (
    "_version", "serialization", "types", "adapter", "bundles/generation", "bundles/tensors", "workers/worker",
    "workers/forkserver", "workers/warm",
)  # fmt: skip
LIGHT = (
    "porting", "porting.types", "porting.errors", "porting.adapter", "porting.catalog", "porting.registry", "porting.store",
    "porting.workspace", "porting.bundles.shapes", "porting.numerics.compare", "porting.signature", "porting.verdict",
    "porting.cells.jobs", "porting.cells.pipeline", "porting.api", "porting.report", "porting.report.html", "porting.cli",
    "porting.sources",
)  # fmt: skip
HEAVY = ("torch", "numpy", "onnx", "onnxruntime", "onnx_ir", "onnxscript", "transformers", "timm", "diffusers", "openvino")


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path, everywhere: bool = True) -> Iterator[str]:
    """Absolute names of what a file imports; everywhere: within functions, too. Imports for type checkers do not count."""
    tree = ast.parse(path.read_text())
    typing_only = {
        node for test in ast.walk(tree) if isinstance(test, ast.If) and "TYPE_CHECKING" in ast.unparse(test.test)
        for child in test.body for node in ast.walk(child)
    }  # fmt: skip
    for node in ast.walk(tree) if everywhere else tree.body:
        if node in typing_only:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = name_of(path).split(".") if path.name == "__init__.py" else name_of(path).split(".")[:-1]
            base = ".".join(package[: len(package) - node.level + 1]) + "." if node.level else ""
            module = f"{base}{node.module or ''}".rstrip(".")
            yield from (f"{module}.{alias.name}" for alias in node.names)


def module_of(name: str) -> str | None:
    """The module of ours that an imported name belongs to."""
    known = {name_of(path) for path in PORTING}
    while name and name not in known:
        name = name.rpartition(".")[0]
    return name or None


def test_types_imports_nothing_of_ours_but_serialization_and_that_imports_nothing() -> None:
    def ours(module: str) -> set[str]:
        return {n.rpartition(".")[0] for n in imports(ROOT / "porting" / f"{module}.py") if n.startswith("porting")}

    assert ours("types") == {"porting.serialization"}
    assert ours("serialization") == set()


@pytest.mark.parametrize("path", ADAPTERS, ids=name_of)
def test_an_adapter_sees_only_types_the_contract_what_is_known_of_accelerators_and_its_family(path: Path) -> None:
    allowed = ("porting.types", "porting.serialization", "porting.adapter", "porting.accelerators")
    ours = [n for n in imports(path) if n.startswith(("porting", "adapters"))]
    foreign = [n for n in ours if not n.startswith(allowed)]
    if path.name == "deploy.py":
        assert ours == [], "a deployed port runs without us"
    # What is left is relative: the adapter's own folder, or `_family` files beside it.
    own = f"adapters.{path.relative_to(ROOT / 'adapters').parts[0].removesuffix('.py')}"
    assert [n for n in foreign if not n.startswith((own, "adapters._")) and n != "adapters"] == []


@pytest.mark.parametrize("path", PORTING, ids=name_of)
def test_nothing_in_porting_names_a_backend(path: Path) -> None:
    tree = ast.parse(path.read_text())
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    words = {n.split(".")[0] for n in imports(path)} | names
    assert words.isdisjoint(BACKENDS)


@pytest.mark.parametrize("path", [p for p in PORTING if "cli" not in p.parts], ids=name_of)
def test_nobody_imports_the_command_line(path: Path) -> None:
    found = [n for n in imports(path) if n.startswith("porting.cli")]
    assert path.name == "__main__.py" or found == []


def run_by(imported: str, importer: str) -> Iterator[str]:
    """The modules of ours that an import runs: the one that is named, and the packages on the way to it."""
    name = module_of(imported)
    while name and name not in ("porting", importer):
        yield name
        name = name.rpartition(".")[0]


def test_there_are_no_circles_among_modules() -> None:
    graph = {
        name_of(path): {m for name in imports(path, everywhere=False) for m in run_by(name, name_of(path))} for path in PORTING
    }
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " -> ".join((*trail, name))
        if name not in done:
            for used in graph[name]:
                # A package and its own modules are one room: `from package import module` names both.
                if not used.startswith(f"{name}.") and not name.startswith(f"{used}."):
                    visit(used, (*trail, name))
            done.add(name)

    for name in graph:
        visit(name, ())


def test_light_modules_import_no_heavy_library() -> None:
    code = (
        f"import sys, importlib as i\nfor n in {LIGHT!r}: i.import_module(n)\nprint([h for h in {HEAVY!r} if h in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=120)
    assert done.stdout.strip() == "[]", done.stderr


@pytest.mark.parametrize("path", [ROOT / "porting" / f"{n}.py" for n in WORKER_SIDE] + KNOWN + ADAPTERS, ids=name_of)
def test_what_runs_in_a_backends_interpreter_keeps_to_python_3_9(path: Path) -> None:
    ast.parse(path.read_text(), feature_version=(3, 9))
    used = {n.split(".")[0] for n in imports(path, everywhere=False)}
    if path.name == "deploy.py":
        return  # a script of its own: it starts with the backend, and says so when that is missing
    assert used <= set(sys.stdlib_module_names) | {"porting", "adapters"}, "heavy imports belong inside functions"


def test_another_interpreter_gets_every_module_that_its_worker_imports() -> None:
    from porting.environments.environment import WORKER_MODULES

    sent = {f"porting.{name.replace('/', '.').removesuffix('.__init__')}" for name in WORKER_MODULES} | {"porting"}
    # warm imports for building models, too, which is never asked of it there.
    files = [ROOT / "porting" / f"{name}.py" for name in WORKER_MODULES if name != "workers/warm"]
    wanted = {module for path in files for name in imports(path) if (module := module_of(name))}
    assert wanted - sent == set()
