"""What a fleet goes by, without a cluster: kinds of nodes, given devices, one record a cell."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from porting import registry
from porting.adapter import DeviceState, Probe
from porting.catalog.project import read_project
from porting.cells.jobs import Cell
from porting.errors import CatalogError, UsageError
from porting.launch import depot, devices
from porting.launch.cluster import Door, Kind, script, setup_of
from porting.launch.facts import Facts, nowhere
from porting.launch.interrupt import asking
from porting.launch.ray import kinds_of as kinds_of_ray
from porting.launch.slices import chunks
from porting.launch.slurm import kinds_of
from porting.store import Store
from porting.types import Cause, ModelSpec, Outcome, Result, Stage, Target

SINFO = [
    "ascend910b|gpu:ascend910b:8(S:0-1)|idle|192|2|asc[01-02]",
    "ascend910b|gpu:ascend910b:8(S:0-1)|mixed|192|1|asc03",
    "ascend910b|gpu:ascend910b:8(S:0-1)|down*|192|1|asc04",
    "mlu370,pcie|craynetwork:4,mlu:4|allocated|64+|2|mlu[1-2]",
    "(null)|(null)|idle|48|10|cpu[01-10]",
    "old|(null)|drained|8|1|old01",
]


def test_nodes_that_slurm_tells_apart_by_features_and_devices_are_kinds() -> None:
    assert kinds_of(SINFO, cores=4) == [
        Kind("ascend910b", 3, 24, "gpu:ascend910b", ("ascend910b",), "asc[01-02],asc03"),
        Kind("mlu370+pcie", 2, 8, "mlu", ("mlu370", "pcie"), "mlu[1-2]"),
        Kind("nodes", 10, 120, "", (), "cpu[01-10]"),
    ]


def test_nodes_that_ray_tells_apart_by_resources_are_kinds() -> None:
    common = {"CPU": 8.0, "memory": 1e9, "object_store_memory": 1e8}
    nodes = [
        {"NodeID": "b", "Resources": {**common, "MLU": 4.0, "node:10.0.0.2": 1.0}},
        {"NodeID": "a", "Resources": {**common, "MLU": 2.0, "node:10.0.0.1": 1.0}},
        {"NodeID": "c", "Resources": {**common, "node:10.0.0.3": 1.0}},
    ]
    assert kinds_of_ray(nodes, cores=2) == [Kind("MLU", 2, 6, "MLU", ("MLU",), "a,b"), Kind("cpu", 1, 4, "", (), "c")]


@pytest.mark.parametrize(
    ("wanted", "maker", "variables"),
    [
        (["npu"], "", {"ASCEND_RT_VISIBLE_DEVICES": "1,3"}),
        (["mlu", "cpu"], "", {"MLU_VISIBLE_DEVICES": "1,3"}),
        (["cpu"], "", {}),
        (["cuda"], "hygon", {"HIP_VISIBLE_DEVICES": "1,3"}),
    ],
)
def test_given_devices_are_said_in_the_variable_of_the_maker(wanted: list[str], maker: str, variables: dict[str, str]) -> None:
    assert devices.visible("1,3", wanted, maker) == variables
    assert devices.visible("", wanted, maker) == {}


def test_what_the_scheduler_renumbered_goes_before_its_own_numbers() -> None:
    assert devices.granted({"CUDA_VISIBLE_DEVICES": "0", "SLURM_JOB_GPUS": "5"}) == "0"
    assert devices.granted({"SLURM_JOB_GPUS": "5"}) == "5"
    assert devices.granted({}) == ""


def test_jobs_of_one_node_that_nobody_tells_apart_claim_different_devices(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(devices, "_held", [])
    claims = [devices.granted({devices.CLAIM_VARIABLE: "mlu:2"}) for _ in range(3)]
    assert claims == ["0", "1", ""]


# ---- results as files ---------------------------------------------------------------------------------------------


def test_a_result_file_is_read_back_whole_and_a_damaged_one_is_refused() -> None:
    result = of("r1", "01")
    lines = depot.result_lines(result, b"what it printed")
    read, log = depot.read_result(lines, "0-s0-0.jsonl")
    assert log
    assert read == replace(result, log=log.digest)
    for damaged in (b"", lines[: len(lines) // 2], lines * 2):
        with pytest.raises(UsageError, match=r"0-s0-0\.jsonl"):
            depot.read_result(damaged, "0-s0-0.jsonl")


# ---- one record a cell --------------------------------------------------------------------------------------------


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "results.db")


def of(run: str, started: str, **changes: object) -> Result:
    base = Result("m", "a:cpu:fp32", Stage.COMPARE, Outcome.PASS, key="k", run=run, started=f"2026-11-28T10:00:{started}Z")
    return replace(base, **changes)  # type: ignore[arg-type]


def test_a_cell_whose_result_comes_twice_has_the_first(store: Store) -> None:
    store.begin_run("r1", [("m", "a:cpu:fp32")])
    first, second = of("r1", "01"), of("r1", "02", message="late")
    assert store.answer("r1", [(first, None), (second, None)]) == [first, first]
    assert store.answer("r1", [(second, None)]) == [first]
    assert [row.started for row in store.history("m", "a:cpu:fp32")] == [first.started]


def test_a_cell_that_another_run_has_recorded_by_now_has_that_one_unless_asked_again(store: Store) -> None:
    for run in ("r1", "r2", "r3"):
        store.begin_run(run, [("m", "a:cpu:fp32")])
    first = of("r1", "01")
    store.answer("r1", [(first, None)])
    assert store.answer("r2", [(of("r2", "02"), None)]) == [first]
    assert store.missing("r2") == []
    assert store.of_run("r2") == [first]
    again = of("r3", "03")
    assert store.answer("r3", [(again, None)], again=True) == [again]
    assert len(store.history("m", "a:cpu:fp32")) == 2


def test_what_speaks_of_the_rig_answers_no_other_run(store: Store) -> None:
    for run in ("r1", "r2"):
        store.begin_run(run, [("m", "a:cpu:fp32")])
    store.answer("r1", [(of("r1", "01", outcome=Outcome.FAIL, cause=Cause.HARNESS), None)])
    found = of("r2", "02")
    assert store.answer("r2", [(found, None)]) == [found]


# ---- what porting.toml says of nodes ------------------------------------------------------------------------------


def test_what_is_said_of_nodes_is_in_the_lines_that_start_their_jobs(tmp_path: Path) -> None:
    text = '[nodes.mlu370]\npython = "/opt/mlu/bin/python"\nsetup = ["source env.sh"]\nenv = {A = "x y"}\nmaker = "cambricon"\n'
    (tmp_path / "porting.toml").write_text(text)
    said = read_project(tmp_path / "porting.toml").nodes
    kind = Kind("mlu370+pcie", 1, 1, "mlu", ("pcie", "mlu370"))
    setup = setup_of(kind, said)
    assert setup.maker == "cambricon"
    lines = script(Door(str(tmp_path)), "s0-$N", setup).splitlines()
    assert lines == [
        "#!/bin/bash",
        "source env.sh",
        "export A='x y'",
        f'exec /opt/mlu/bin/python -m porting.launch.node {tmp_path} "s0-$N"',
    ]
    other = script(Door(str(tmp_path)), "s0-$N", setup_of(replace(kind, label="cpu", features=()), said))
    assert f"exec {sys.executable} -m" in other
    assert "export PYTHONPATH=" in other


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nodes = 3", "'nodes' must hold tables"),
        ('[nodes.a]\nsetup = "source env.sh"', "'setup' must be an array of strings"),
        ("[nodes.a]\nenv = {A = 1}", "'env' must be a table of strings"),
        ("[nodes.a]\npython = 3", "'python' must be a string"),
        ("[nodes.a]\npyhton = 'p'", "pyhton"),
    ],
)
def test_what_cannot_be_said_of_nodes_is_told_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "porting.toml").write_text(text)
    with pytest.raises(CatalogError, match=said):
        read_project(tmp_path / "porting.toml")


# ---- which cells go out together ----------------------------------------------------------------------------------


def planned(*sizes: int) -> list[Cell]:
    """Cells of models of these sizes, each on three targets."""
    adapter = registry.adapter("torch")
    targets = [Target.parse(f"torch:cpu:{precision}") for precision in ("fp32", "fp16", "bf16")]
    specs = [ModelSpec(f"m{n}", "factory", "m", params=size) for n, size in enumerate(sizes)]
    return [Cell(spec, target, adapter, spec.id, f"{spec.id}{target}") for spec in specs for target in targets]


def test_small_models_go_together_whole_and_the_longest_job_goes_first() -> None:
    kind = Kind("cpu", 1, 1)
    cells = planned(1_000_000, 2_000_000, 100_000_000)
    found = [numbers for _, numbers in chunks(cells, [(n, kind) for n in range(len(cells))])]
    assert sorted(n for numbers in found for n in numbers) == list(range(9))
    assert [cells[n].spec.id for n in found[0]] == ["m2"], "of a model that takes longer than a job should, one cell"


def test_each_kind_begins_with_models_of_its_own() -> None:
    kinds = [Kind("a", 4, 4), Kind("b", 4, 4)]
    cells = planned(*[1_000_000] * 40)
    found = chunks(cells, [(n, kinds[n % 3 == 0]) for n in range(len(cells))])
    first = {kind.label: {cells[n].spec.id for n in numbers} for kind, numbers in reversed(found)}
    assert first["a"].isdisjoint(first["b"])
    assert sorted(n for _, numbers in found for n in numbers) == list(range(len(cells)))


def test_a_person_may_say_how_many_cells_a_job_has() -> None:
    cells = planned(*[1_000_000] * 4)
    found = chunks(cells, [(n, Kind("cpu", 1, 1)) for n in range(len(cells))], wanted=6)
    assert [len(numbers) for _, numbers in found] == [6, 6]


@pytest.mark.parametrize("request_to_end", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.usefixtures("capsys")  # nobody can be asked
def test_a_request_to_end_is_heard_though_the_code_that_it_met_swallowed_it(request_to_end: int) -> None:
    before = signal.getsignal(request_to_end)
    with asking() as interrupted:
        interrupted()
        with contextlib.suppress(KeyboardInterrupt):
            signal.raise_signal(request_to_end)
        with pytest.raises(KeyboardInterrupt):
            interrupted()
    assert signal.getsignal(request_to_end) is before


def test_nodes_that_could_not_be_asked_are_told_as_that_and_asked_anew_by_the_next_run(tmp_path: Path) -> None:
    kinds = [Kind("cpus", 2, 2), Kind("npus", 1, 2, "gpu:npu")]
    absent = Probe(dict.fromkeys(registry.adapter("torch").devices, DeviceState(False, "no such card", Cause.MISSING_DEVICE)))
    there = Probe(dict.fromkeys(registry.adapter("torch").devices, DeviceState(True)))
    asked: list[list[str]] = []

    def ask_with(npus: Probe) -> Callable[..., dict[Kind, dict[str, Probe]]]:
        def ask(questions: dict[Kind, list[str]]) -> dict[Kind, dict[str, Probe]]:
            asked.append([kind.label for kind in questions])
            return {kind: {"torch": npus if kind.device else absent} for kind in questions}

        return ask

    lost = Facts(kinds, ask_with(nowhere("torch", "NODE_FAIL on n1")), tmp_path, ["torch"])
    target = Target.parse("torch:npu:fp32")
    assert (lost.route(target), lost.about(target).devices["npu"].reason) == (None, "NODE_FAIL on n1")
    assert Facts(kinds, ask_with(there), tmp_path, ["torch"]).route(target) == kinds[1]
    assert asked == [["cpus", "npus"], ["npus"]]
