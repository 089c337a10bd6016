"""The catalog: what its files mean, what is said when one is wrong, and what a person means by the name of a model."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from porting.catalog import TIERS, Catalog, catalog_files, find_project, load, measured, resolve
from porting.catalog.validity import validate
from porting.errors import CatalogError, ModelError, UnknownName, UntrustedError, UsageError
from porting.types import InputSpec, ModelSpec


def write(folder: Path, text: str, name: str = "bert.toml") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def one(folder: Path, text: str) -> ModelSpec:
    (spec,) = load([write(folder, text)])
    return spec


# ---- what a file means --------------------------------------------------------------------------------------------


def test_an_id_with_a_place_for_the_name_goes_with_a_list(tmp_path: Path) -> None:
    file = write(tmp_path, '[defaults]\nsource = "timm"\nid = "ours/{name}-b"\n\n[[models]]\nnames = ["a", "c"]\n')
    assert load([file]).ids() == ["ours/a-b", "ours/c-b"]


def test_a_list_of_configs_is_one_entry_each_with_the_shared_keys(tmp_path: Path) -> None:
    file = write(
        tmp_path,
        """
        [defaults]
        source = "transformers"
        task = "text-generation"
        license = "Apache-2.0"
        axes = { input_ids = ["batch", "sequence"] }
        tiers = ["ci"]

        [[models]]
        configs = ["qwen2", "qwen3"]

        [[models]]
        configs = ["qwen3_moe"]
        config = { _experts_implementation = "batched_mm" }
        """,
    )
    catalog = load([file])
    assert catalog.ids() == ["transformers/qwen2", "transformers/qwen3", "transformers/qwen3_moe"]
    spec = catalog.get("transformers/qwen3_moe")
    assert (spec.name, spec.source, spec.task, spec.license) == ("qwen3_moe", "transformers", "text-generation", "Apache-2.0")
    assert spec.axes == {"input_ids": ("batch", "sequence")}
    assert spec.config == {"_experts_implementation": "batched_mm"}
    assert catalog.get("transformers/qwen2").config == {}


def test_family_is_the_name_of_the_file_unless_it_is_given(tmp_path: Path) -> None:
    assert one(tmp_path, '[[models]]\nsource = "timm"\nname = "resnet18"').family == "bert"
    assert one(tmp_path, '[[models]]\nsource = "timm"\nname = "resnet18"\nfamily = "resnet"').family == "resnet"


def test_an_id_can_be_given(tmp_path: Path) -> None:
    assert one(tmp_path, '[[models]]\nsource = "onnx"\nname = "a.onnx"\nid = "mine/net"').id == "mine/net"


def test_config_merges_deeply_from_defaults_over_the_entry_to_its_override(tmp_path: Path) -> None:
    file = write(
        tmp_path,
        """
        [defaults]
        source = "transformers"
        config = { text_config = { layers = 2, width = 64 }, a = 1 }

        [[models]]
        names = ["one", "two"]
        config = { text_config = { layers = 3 } }

        [overrides.two]
        config = { text_config = { width = 32 }, a = 2 }
        tiers = ["smoke"]
        """,
    )
    one, two = load([file])
    assert one.config == {"text_config": {"layers": 3, "width": 64}, "a": 1}
    assert two.config == {"text_config": {"layers": 3, "width": 32}, "a": 2}
    assert "smoke" in two.tiers
    assert "smoke" not in one.tiers


def test_a_tier_holds_the_smaller_ones(tmp_path: Path) -> None:
    assert one(tmp_path, '[[models]]\nsource = "timm"\nname = "a"\ntiers = ["ci"]').tiers == ("ci", "nightly", "full")
    assert one(tmp_path, '[[models]]\nsource = "timm"\nname = "a"').tiers == ("full",)


def test_an_entry_that_cannot_be_built_is_listed_in_no_tier(tmp_path: Path) -> None:
    text = """
        [defaults]
        source = "transformers"
        tiers = ["ci"]

        [[models]]
        configs = ["dinat", "bert"]

        [overrides]
        dinat = {cannot = "needs natten"}
        """
    catalog = load([write(tmp_path, text)])
    assert catalog.get("transformers/dinat").cannot == "needs natten"
    assert [[spec.id for spec in catalog.match((), tier)] for tier in TIERS] == [[], *[["transformers/bert"]] * 3]
    assert catalog.ids() == ["transformers/dinat", "transformers/bert"]
    plain = ModelSpec("a", "transformers", "dinat")
    assert plain.identity() == ModelSpec("a", "transformers", "dinat", cannot="needs natten").identity()


def test_weights_that_come_with_what_is_named_are_real_and_others_random(tmp_path: Path) -> None:
    assert one(tmp_path, '[[models]]\nsource = "timm"\nname = "a"').weights == "random"
    assert one(tmp_path, '[[models]]\nsource = "factory"\nname = "a:b"').weights == "real"


def test_inputs_become_input_specs(tmp_path: Path) -> None:
    spec = one(
        tmp_path,
        """
        [[models]]
        source = "factory"
        name = "a:b"
        inputs = [{ name = "ids", dtype = "int64", shape = ["batch", "2*frames", 3], kind = "ids", high = 30, prefix = [1, 2] }]
        """,
    )
    assert spec.inputs == (InputSpec("ids", "int64", ("batch", "2*frames", 3), "ids", high=30, prefix=(1, 2)),)


def test_an_entry_knows_its_file_and_line(tmp_path: Path) -> None:
    file = write(tmp_path, '[defaults]\nsource = "timm"\n\n[[models]]\nnames = [\n  "a",\n  "b",\n]\n')
    assert [spec.origin for spec in load([file])] == [f"{file}:6", f"{file}:7"]


def test_where_an_entry_was_read_from_is_no_part_of_its_identity(tmp_path: Path) -> None:
    here, there = (one(tmp_path / folder, '[[models]]\nsource = "timm"\nname = "a"') for folder in ("here", "there"))
    assert here.origin != there.origin
    assert here.identity() == there.identity()


# ---- what is said when a file is wrong ----------------------------------------------------------------------------

ENTRY = '[[models]]\nsource = "timm"\nname = "resnet18"\n'

WRONG = {
    "unknown key": (ENTRY + 'licence = "MIT"\n', 4, "unknown key 'licence'. Did you mean license"),
    "unknown table": ('[default]\nsource = "timm"\n', 1, "unknown key 'default'. Did you mean defaults?"),
    "unknown source": (
        '[[models]]\nname = "x"\nsource = "tim"\n',
        3,
        "'source' is 'tim', which nobody knows; did you mean timm?",
    ),
    "no source": ('[[models]]\nname = "x"\n', 2, "'x' has no 'source'"),
    "unknown tier": (ENTRY + 'tiers = ["smoke", "night"]\n', 4, "did you mean nightly?"),
    "tiers no list": (ENTRY + 'tiers = "ci"\n', 4, "'tiers' must be an array of strings, not a string"),
    "no tier": (ENTRY + "tiers = []\n", 4, "must name at least one tier"),
    "wrong type": (ENTRY + "task = 3\n", 4, "'task' must be a string, not a whole number"),
    "boolean for number": (ENTRY + "params = true\n", 4, "'params' must be a whole number, not a boolean"),
    "no reason": (ENTRY + 'cannot = " "\n', 4, "'cannot' must say why"),
    "list of mixed": (ENTRY + 'requires = ["a", 1]\n', 4, "'requires' must be an array of strings, but holds a whole number"),
    "size zero": (ENTRY + "sizes = { batch = 0 }\n", 4, "'sizes' is wrong at 'batch': it must be positive"),
    "axes": (ENTRY + 'axes = { x = "batch" }\n', 4, "'axes' is wrong at 'x'"),
    "axis expression": (ENTRY + 'axes = { x = ["a b!"] }\n', 4, "an axis that makes no sense"),
    "config no table": (ENTRY + "config = [1]\n", 4, "'config' must be a table, not an array"),
    "input kind": (
        ENTRY + 'inputs = [{ name = "x", dtype = "int64", shape = [2], kind = "token" }]\n',
        4,
        "an input whose 'kind' is 'token', which nobody knows",
    ),
    "input key": (ENTRY + 'inputs = [{ name = "x" }]\n', 4, "an input without 'dtype'"),
    "no name": ('[[models]]\nsource = "timm"\n', 1, "exactly one of 'name', 'names' and 'configs'"),
    "two names": (ENTRY + 'configs = ["a"]\n', 1, "exactly one of"),
    "id for a list": ('[[models]]\nsource = "timm"\nnames = ["a"]\nid = "x"\n', 4, "'id' cannot go with a list"),
    "trust": (ENTRY + "trust = true\n", 4, "unknown key 'trust'"),
    "override of nobody": (
        ENTRY + '[overrides.resnet81]\ntask = "a"\n',
        4,
        "'resnet81', which no entry of this file names. Did you",
    ),
    "override key": (ENTRY + "[overrides.resnet18]\ntasks = 3\n", 5, "unknown key 'tasks'"),
    "override type": (ENTRY + "[overrides.resnet18]\ntask = 3\n", 5, "'task' must be a string"),
    "override no table": (ENTRY + "[overrides]\nresnet18 = 3\n", 5, "overrides for 'resnet18' must be a table"),
    "default type": ("[defaults]\ntiers = 3\n" + ENTRY, 2, "'tiers' must be an array of strings"),
    "row": (
        'models = [\n    {name = "a", source = "timm"},\n    # ] } the "next\n    {name = "b", source = "timm", task = 3},\n]\n',
        4,
        "'task' must be a string",
    ),
    "row after a list": (
        'models = [\n    {source = "timm", names = [\n        "a",\n    ]},\n    {name = "b"},\n]\n[overrides]\nb = {}\n',
        5,
        "'b' has no 'source'",
    ),
    "override row": (ENTRY + "[overrides]\nresnet18 = {task = 3}\n", 5, "'task' must be a string"),
    "override row of nobody": (ENTRY + "[overrides]\n\nresnet81 = {}\n", 6, "'resnet81', which no entry of this file names"),
    "models no tables": ("models = 3\n", 1, "'models' must be an array of tables"),
    "no TOML": (ENTRY + "task = \n", 4, "is not valid TOML"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_file_is_one_problem_with_file_and_line(tmp_path: Path, name: str) -> None:
    text, line, message = WRONG[name]
    file = write(tmp_path, text)
    problems = validate([file])
    assert [(p.file, p.line) for p in problems] == [(str(file), line)], problems
    assert message in str(problems[0])
    with pytest.raises(CatalogError) as raised:
        load([file])
    assert str(raised.value).startswith(f"{file}:{line}: ")
    assert raised.value.exit_code == 2


def test_every_problem_of_several_files_is_named_in_order(tmp_path: Path) -> None:
    write(tmp_path, ENTRY + "task = 1\nhouse = 2\n", "a.toml")
    write(tmp_path, "x = 1\n", "b.toml")
    assert [(Path(p.file).name, p.line) for p in validate([tmp_path])] == [("a.toml", 4), ("a.toml", 5), ("b.toml", 1)]


def test_a_duplicate_id_names_both_places(tmp_path: Path) -> None:
    first = write(tmp_path, ENTRY, "a.toml")
    second = write(tmp_path, "\n" + ENTRY, "b.toml")
    with pytest.raises(CatalogError, match="'timm/resnet18' is already defined") as raised:
        load([tmp_path])
    assert f"{second}:4" in str(raised.value)
    assert f"{first}:3" in str(raised.value)
    assert len(validate([tmp_path])) == 1


def test_a_file_that_is_not_there_or_no_text_is_a_problem(tmp_path: Path) -> None:
    binary = tmp_path / "b.toml"
    binary.write_bytes(b"\xff\xfe\x00")
    assert "cannot be read: No such file" in str(validate([tmp_path / "a.toml"])[0])
    assert "not UTF-8" in str(validate([binary])[0])


# ---- the catalog that comes with the toolkit ----------------------------------------------------------------------


def test_our_own_catalog_is_sound_and_every_entry_says_what_it_is() -> None:
    assert validate() == []
    catalog = load()
    assert len(catalog) >= 80
    lacking = [spec.id for spec in catalog if not (spec.task and spec.family and spec.license and spec.modalities)]
    assert lacking == []


def test_our_own_catalog_takes_one_line_an_entry_or_less() -> None:
    """Beside what a file's entries share (`[defaults]`) and what is said of single ones (`[overrides]`)."""
    lines = []
    for file in catalog_files():
        text = file.read_text()
        assert "[[models]]" not in text, file
        rows = text[text.index("models = [") :].partition("\n]\n")[0].splitlines()[1:]
        lines += [row for row in rows if not row.lstrip().startswith("#")]
    assert len(lines) <= len(load())


def test_a_model_has_the_size_that_its_build_showed_or_that_its_entry_states(tmp_path: Path) -> None:
    known = measured.sizes()
    assert len(known) > 1000
    ours = load()
    assert {name: ours.get(name).params for name in known if name in ours} == {n: c for n, c in known.items() if n in ours}
    text = '[defaults]\nsource = "timm"\n[[models]]\nname = "resnet18"\nparams = 3\n[[models]]\nnames = ["resnet34", "q"]'
    stated = [spec.params for spec in load([write(tmp_path, text)])]
    assert stated == [3, known["timm/resnet34"], None]


def test_our_own_catalog_has_real_weights_and_a_smoke_tier_of_about_twelve() -> None:
    catalog = load()
    assert len([spec for spec in catalog if spec.source == "timm"]) >= 25
    assert {"silero-vad", "minilm"} <= {spec.family for spec in catalog if spec.license_weights}
    assert 8 <= len(catalog.match((), "smoke")) <= 16


def test_loading_the_catalog_imports_neither_torch_nor_numpy_nor_onnx() -> None:
    program = (
        "import sys; from porting.catalog import measured, load, find_project; from porting.catalog.validity import validate;"
        "load(); validate();"
        "print([m for m in ('torch', 'numpy', 'onnx', 'onnxruntime', 'transformers') if m in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


def test_expectations_are_no_catalog_files() -> None:
    assert catalog_files()
    assert not [path for path in catalog_files() if path.parent.name == "expect"]


# ---- looking things up --------------------------------------------------------------------------------------------


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    text = """
    [defaults]
    source = "timm"
    [[models]]
    names = ["resnet18", "resnet34"]
    tiers = ["smoke"]
    [[models]]
    names = ["vit_tiny"]
    [[models]]
    source = "torchscript"
    name = "net.pt"
    """
    return load([write(tmp_path / "catalog", text)])


def test_an_unknown_model_is_answered_with_near_names(catalog: Catalog) -> None:
    with pytest.raises(UnknownName, match=r"unknown model 'timm/resnet81'\. Did you mean timm/resnet18"):
        catalog.get("timm/resnet81")


def test_globs_and_tiers_select_in_the_order_of_the_catalog(catalog: Catalog) -> None:
    assert [s.name for s in catalog.match(["*/vit*", "timm/resnet34"])] == ["resnet34", "vit_tiny"]
    assert [s.name for s in catalog.match(tier="smoke")] == ["resnet18", "resnet34"]
    assert [s.name for s in catalog.match(["*/vit*"], "smoke")] == []
    assert len(catalog.match()) == 4


def test_a_glob_that_matches_nothing_and_an_unknown_tier_are_errors(catalog: Catalog) -> None:
    with pytest.raises(UnknownName, match="unknown model 'timm/x"):
        catalog.match(["timm/x*"])
    with pytest.raises(UnknownName, match=r"unknown tier 'smok'\. Did you mean smoke"):
        catalog.match((), "smok")
    assert TIERS == ("smoke", "ci", "nightly", "full")


def test_an_id_or_a_glob_means_the_entries(catalog: Catalog) -> None:
    assert [s.id for s in resolve("timm/resnet18", catalog)] == ["timm/resnet18"]
    assert [s.id for s in resolve("timm/resnet*", catalog)] == ["timm/resnet18", "timm/resnet34"]


def test_trust_is_what_the_person_says_at_the_call(catalog: Catalog) -> None:
    assert resolve("timm/resnet18", catalog, trust=True)[0].trust
    assert not resolve("timm/resnet18", catalog)[0].trust
    with pytest.raises(UntrustedError, match="TorchScript"):
        resolve("torchscript/net.pt", catalog)
    assert resolve("torchscript/net.pt", catalog, trust=True)[0].trust


def test_a_factory_needs_no_entry(catalog: Catalog, tmp_path: Path) -> None:
    (spec,) = resolve("package.module:make_net", catalog, folder=tmp_path)
    assert (spec.id, spec.source, spec.weights, spec.root) == ("package.module:make_net", "factory", "real", str(tmp_path))
    assert resolve("nets/mine.py:make", catalog)[0].source == "factory"


def test_a_name_nobody_knows_and_a_path_that_is_not_there_are_errors(catalog: Catalog, tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="Did you mean timm/resnet18"):
        resolve("resnet18", catalog, folder=tmp_path)
    with pytest.raises(UsageError, match=r"no file or folder 'net\.onnx'"):
        resolve("net.onnx", catalog, folder=tmp_path)


def test_an_id_wins_over_a_folder_of_the_same_name(catalog: Catalog, tmp_path: Path) -> None:
    (tmp_path / "timm" / "resnet18").mkdir(parents=True)
    assert resolve("timm/resnet18", catalog, folder=tmp_path)[0].source == "timm"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.onnx", b"", "is empty"),
        ("a.onnx", b"hello, this is a letter", "truncated or no ONNX model"),
        ("a.bin", b"", "the file is empty"),
        ("a.gguf", b"GGUF\x03\x00", "it is a GGUF file"),
        ("a.tflite", b"\x1c\x00\x00\x00TFL3", "it is a TFLite file"),
        ("a.safetensors", b"\x08\x00\x00\x00\x00\x00\x00\x00{}      ", "give its folder"),
        ("a.txt", b"# notes", "it is text"),
        ("a.pt2", b"PK\x03\x04 and then nothing", "is damaged"),
        ("a.dat", bytes(range(100, 200)), "no known format"),
    ],
)
def test_a_file_that_is_no_model_is_one_clear_sentence(
    catalog: Catalog, tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ModelError, match=message) as raised:
        resolve(name, catalog, folder=tmp_path)
    assert "\n" not in str(raised.value)
    assert raised.value.hint


def test_a_folder_without_config_is_no_checkpoint(catalog: Catalog, tmp_path: Path) -> None:
    (tmp_path / "weights").mkdir()
    with pytest.raises(ModelError, match=r"no config\.json"):
        resolve("weights", catalog, folder=tmp_path)


# ---- a person's own porting.toml ----------------------------------------------------------------------------------


def test_a_project_is_found_from_a_folder_below_it_with_all_it_says(tmp_path: Path) -> None:
    write(
        tmp_path,
        """
        store = "sqlite:///results.db"
        targets = ["onnxruntime:cpu:fp32"]

        [catalog]
        paths = ["zoo/*.toml"]

        [[models]]
        source = "factory"
        name = "mynet:make"
        inputs = [{ name = "x", dtype = "float32", shape = ["batch", 3], kind = "normal" }]

        [environments.openvino]
        python = "envs/ov/bin/python"
        env = { OMP_NUM_THREADS = "1" }

        [environments.rknn]
        command = ["docker", "run", "rknn"]
        """,
        "porting.toml",
    )
    write(tmp_path, '[[models]]\nsource = "onnx"\nname = "nets/a.onnx"\n', "zoo/nets.toml")
    (tmp_path / "a" / "b").mkdir(parents=True)
    project = find_project(tmp_path / "a" / "b")
    assert project is not None
    assert (project.root, project.file) == (tmp_path, tmp_path / "porting.toml")
    assert [spec.id for spec in project.models] == ["factory/mynet:make", "onnx/nets/a.onnx"]
    assert {spec.root for spec in project.models} == {str(tmp_path)}
    assert project.store == str(tmp_path / "results.db")  # wherever below it a command is given
    assert project.targets == ("onnxruntime:cpu:fp32",)
    assert project.environments["openvino"] == {"python": str(tmp_path / "envs/ov/bin/python"), "env": {"OMP_NUM_THREADS": "1"}}
    assert project.environments["rknn"] == {"command": ["docker", "run", "rknn"]}


@pytest.mark.parametrize("url", ["postgresql://centre/results", "sqlite:////srv/results.db", "/srv/results.db"])
def test_a_store_that_does_not_depend_on_the_folder_stays_where_it_is(tmp_path: Path, url: str) -> None:
    (tmp_path / "porting.toml").write_text(f'store = "{url}"')
    project = find_project(tmp_path)
    assert project
    assert project.store == url.removeprefix("sqlite:///")


def test_a_project_s_models_join_the_catalog_and_may_not_take_a_known_id(tmp_path: Path) -> None:
    ours = write(tmp_path, ENTRY, "ours/a.toml")
    write(tmp_path, '[[models]]\nsource = "factory"\nname = "a:b"\n', "porting.toml")
    assert load([ours], find_project(tmp_path)).ids() == ["timm/resnet18", "factory/a:b"]
    write(tmp_path, ENTRY, "porting.toml")
    with pytest.raises(CatalogError, match="already defined"):
        load([ours], find_project(tmp_path))


def test_without_a_porting_toml_there_is_no_project(tmp_path: Path) -> None:
    assert find_project(tmp_path) is None


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ('targets = ["onnxruntime:cpu"]\n', 1, "a target is written adapter:device:precision"),
        ("store = 3\n", 1, "'store' must be a string"),
        ('\n[catalog]\npath = ["a"]\n', 3, "unknown key 'path'. Did you mean paths?"),
        ('[catalog]\npaths = ["zoo/*.toml"]\n', 2, "no catalog file matches 'zoo/\\*.toml'"),
        ("[environments.x]\npython = 3\n", 2, "'python' must be a string"),
        ("[environments.x]\npyton = 'a'\n", 2, "unknown key 'pyton'. Did you mean python?"),
        ("[[models]]\nname = 'a:b'\n", 2, "'a:b' has no 'source'"),
    ],
)
def test_a_wrong_porting_toml_names_its_line(tmp_path: Path, text: str, line: int, message: str) -> None:
    file = write(tmp_path, text, "porting.toml")
    with pytest.raises(CatalogError, match=message) as raised:
        find_project(tmp_path)
    assert str(raised.value).startswith(f"{file}:{line}: ")
    assert [problem.line for problem in validate([file])] == [line]
