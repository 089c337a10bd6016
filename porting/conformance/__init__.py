"""The suite that every adapter passes: declarations are true, and what an adapter returns is what it was asked for.

A third party ships it as its own test, one subclass an adapter:

    from porting.conformance import AdapterConformance

    class TestMyAdapter(AdapterConformance):
        adapter = MyAdapter

Run by pytest, over every target whose device is here. Needs torch beside the adapter, to export its tiny models, or a kit of them
(porting.conformance.kit): `porting env test NAME` runs the suite so, in the adapter's own environment.
"""

from __future__ import annotations

import ast
import atexit
import functools
import re
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from porting.adapter import CONTRACT, Adapter, ExportedForm, FormNeed, Probe, Session
from porting.conformance import fresh, kit, models
from porting.conformance.models import NOMINAL, OTHERS, TinyModel
from porting.types import Artifact, Cause, Evidence, Outcome, Precision, Target

if TYPE_CHECKING:
    import numpy

    Array = numpy.ndarray[Any, Any]
    Arrays = Mapping[str, Array]

TOLERANCE = {Precision.FP32: 1e-4, Precision.TF32: 1e-2, Precision.FP16: 1e-2, Precision.BF16: 5e-2, Precision.INT8: 0.2}
"""Relative L2 by the precision that the backend says it computes in; here only gross errors are looked for."""


class AdapterConformance:
    """Subclass, and name the adapter. Every test says in its name what an adapter owes."""

    adapter: ClassVar[type[Adapter]]

    def pytest_generate_tests(self, metafunc: Any) -> None:
        """`target` is every target that is here; `one_target` one a device, for what does not depend on the precision;
        `compiled_target` every one that is compiled for only."""
        import pytest

        here = available_targets(self.adapter)
        run = [target for target in here if not _compiled_only(self.adapter, target)]
        by_device = {target.device: target for target in reversed(run)}
        compiled = [target for target in here if _compiled_only(self.adapter, target)]
        values: dict[str, list[Any]] = {"target": [*run], "one_target": [*by_device.values()], "compiled_target": [*compiled]}
        reason = "it compiles for nothing that it does not run on" if here else f"no device of {self.adapter.name} is here"
        nothing = pytest.param(None, marks=pytest.mark.skip(reason=reason))
        for name in values.keys() & set(metafunc.fixturenames):
            metafunc.parametrize(name, values[name] or [nothing], ids=str)

    # ---- declarations

    def test_it_declares_what_the_contract_asks_for(self) -> None:
        adapter = self.adapter
        assert adapter.contract == CONTRACT
        assert re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", adapter.name), "a target is written with it"
        assert adapter.vendor
        assert adapter.install_hint
        assert adapter.distributions
        assert all(need.kind in ("onnx", "pt2", "aten") for need in adapter.needs())
        assert len(set(adapter.needs())) == len(adapter.needs()), "a form would be tried twice"
        assert 0 < adapter.minimum_target_share <= 1

    def test_its_devices_have_names_precisions_and_evidence(self) -> None:
        assert self.adapter.devices
        for device, precisions in self.adapter.devices.items():
            assert re.fullmatch(r"[a-z0-9][a-z0-9_.-]*", device), f"{device!r} cannot be written in a target"
            assert precisions, f"{device} declares no precision"
            assert isinstance(self.adapter.evidence_of(device), Evidence)
        assert set(self.adapter.evidence) <= set(self.adapter.devices)

    def test_its_targets_read_back_as_written(self) -> None:
        targets = self.adapter.targets()
        assert len(set(targets)) == len(targets)
        assert [Target.parse(str(target)) for target in targets] == list(targets)

    def test_its_deploy_script_stands_alone(self) -> None:
        script = self.adapter.deploy_script()
        tree = ast.parse(script.read_text(encoding="utf-8"))
        assert "porting" not in _imports(tree), "an artifact is deployed without this toolkit"
        assert "Needs: " in (ast.get_docstring(tree) or ""), "a person has to know what to install"
        functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
        assert [argument.arg for argument in functions["run"].args.args] == ["artifact", "target", "inputs"]

    # ---- probe

    def test_probing_says_of_every_device_whether_it_is_here_and_why_not(self) -> None:
        probe = _probe(self.adapter)
        assert set(probe.devices) == set(self.adapter.devices)
        for device, state in probe.devices.items():
            assert set(state.precisions) <= set(self.adapter.devices[device])
            assert state.available or (state.reason and state.cause), f"{device} is not here, but no reason is given"
        if any(state.available for state in probe.devices.values()):
            assert probe.versions

    def test_probing_without_the_backend_gives_a_reason_instead_of_an_error(self, tmp_path: Path) -> None:
        modules = _import_names(self.adapter.distributions[0])
        probe = fresh.probe_without(self.adapter, modules, tmp_path)
        for device, state in probe.devices.items():
            assert not state.available, f"{device} is said to be here although {', '.join(modules)} cannot be imported"
            assert state.reason
            assert state.cause in (Cause.MISSING_DEPENDENCY, Cause.MISSING_SDK)

    # ---- what it returns

    def test_it_answers_what_eager_answers(self, target: Target) -> None:
        cell = _cell(self.adapter, target)
        _check(cell.model, cell.inputs(NOMINAL), cell.session.run(cell.inputs(NOMINAL)), cell.session.effective_precision())

    def test_floating_inputs_may_come_in_fp32_whatever_the_form_takes(self, target: Target) -> None:
        cell = _cell(self.adapter, target)
        inputs = cell.model.draw(NOMINAL)
        _check(cell.model, inputs, cell.session.run(inputs), cell.session.effective_precision())

    def test_outputs_have_the_declared_names_dtypes_and_shapes(self, target: Target) -> None:
        cell = _cell(self.adapter, target)
        _check_structure(cell, cell.session.run(cell.inputs(NOMINAL)), NOMINAL)

    def test_dynamic_axes_take_other_sizes(self, target: Target) -> None:
        if not self.adapter.need.dynamic:
            import pytest

            pytest.skip("it asks for static forms")
        _check_other_sizes(_cell(self.adapter, target))

    def test_an_empty_batch_is_answered_with_nothing_or_refused(self, one_target: Target, tmp_path: Path) -> None:
        if not self.adapter.need.dynamic:
            import pytest

            pytest.skip("it asks for static forms")
        cell, sizes = _cell(self.adapter, one_target), {**NOMINAL, "batch": 0}
        answers = fresh.answer_or_refusal(self.adapter, cell.artifact, one_target, cell.folder, cell.inputs(sizes), tmp_path)
        if not isinstance(answers, str):
            _check_structure(cell, answers, sizes)

    def test_the_same_inputs_give_the_same_answer(self, target: Target) -> None:
        cell = _cell(self.adapter, target)
        _assert_equal(cell.session.run(cell.inputs(NOMINAL)), cell.session.run(cell.inputs(NOMINAL)))

    def test_an_answer_outlives_the_next_run(self, target: Target) -> None:
        cell = _cell(self.adapter, target)
        first = cell.session.run(cell.inputs(NOMINAL))
        kept = {name: value.copy() for name, value in first.items()}
        cell.session.run(cell.inputs(NOMINAL, seed=1))
        _assert_equal(first, kept)

    def test_inputs_may_be_read_only_and_stay_as_they_are(self, target: Target) -> None:
        cell = _cell(self.adapter, target)
        inputs = cell.inputs(NOMINAL)
        for value in inputs.values():
            value.setflags(write=False)
        cell.session.run(inputs)
        _assert_equal(inputs, cell.inputs(NOMINAL))

    def test_two_sessions_do_not_disturb_each_other(self, target: Target) -> None:
        cell = _cell(self.adapter, target)
        other = self.adapter().load(cell.artifact, target, cell.folder)
        one, two = cell.inputs(NOMINAL), cell.inputs(NOMINAL, seed=1)
        expected = cell.session.run(one)
        answers = other.run(two)
        _assert_equal(cell.session.run(one), expected)
        _assert_equal(cell.session.run(two), answers)

    def test_scalars_and_inputs_handed_through_come_back(self, one_target: Target) -> None:
        _check_static(_cell(self.adapter, one_target, models.scalars, replace(self.adapter.need, dynamic=False)))

    def test_tensors_of_many_megabytes_come_back_right(self, one_target: Target) -> None:
        _check_static(_cell(self.adapter, one_target, models.large, replace(self.adapter.need, dynamic=False)))

    def test_every_other_form_it_takes_is_answered_alike(self, target: Target) -> None:
        if not self.adapter.alternatives:
            import pytest

            pytest.skip("it takes one form")
        for need in self.adapter.alternatives:
            cell = _cell(self.adapter, target, models.mixed, need)
            answers = cell.session.run(cell.inputs(NOMINAL))
            _check_structure(cell, answers, NOMINAL)
            _check(cell.model, cell.inputs(NOMINAL), answers, cell.session.effective_precision())
            if need.dynamic:
                _check_other_sizes(cell)

    def test_what_it_cannot_express_is_refused_as_unsupported(self, one_target: Target, tmp_path: Path) -> None:
        if not self.adapter.floats_alone:
            import pytest

            pytest.skip("it declares no such limit")
        form = _form(models.mixed, self.adapter.need, one_target.precision)
        meaning = _refusal(self.adapter, form, one_target, tmp_path)
        assert meaning is not None, "a model with comparisons was converted, or why it was not is not said: see classify"
        assert meaning[0] is Outcome.UNSUPPORTED

    # ---- where nothing runs

    def test_what_it_compiles_is_there_and_says_how_much_is_for_the_target(self, compiled_target: Target, tmp_path: Path) -> None:
        form = _form(_usual(self.adapter), replace(self.adapter.need, dynamic=False), compiled_target.precision)
        folder = tmp_path / "artifact"
        folder.mkdir()
        artifact = self.adapter().convert(form, compiled_target, folder)
        assert artifact.files
        assert all((folder / name).stat().st_size for name in artifact.files)
        assert artifact.placement, "nothing runs: the compiler's word is all there is"
        assert artifact.placement.target_ops
        assert artifact.placement.device
        _refuses_garbage(self.adapter, form, compiled_target, tmp_path)

    # ---- what it says about itself

    def test_it_says_what_ran_on_the_target(self, target: Target) -> None:
        cell = _cell(self.adapter, target)
        cell.session.run(cell.inputs(NOMINAL))
        placement = cell.session.placement()
        assert placement.target_ops is None or placement.target_ops > 0
        assert placement.other_ops is None or placement.other_ops >= 0
        assert placement.device
        assert isinstance(cell.session.effective_precision(), Precision)

    def test_the_artifact_is_all_that_a_new_process_needs(self, target: Target, tmp_path: Path) -> None:
        cell = _cell(self.adapter, target)
        cell.session.run(cell.inputs(NOMINAL))  # the effective precision is known after a run
        moved = fresh.moved(cell.artifact, cell.folder, tmp_path / "moved")
        answers = fresh.answer(self.adapter, cell.artifact, target, moved, cell.inputs(NOMINAL), tmp_path)
        _check(cell.model, cell.inputs(NOMINAL), answers, cell.session.effective_precision())

    def test_its_deploy_script_runs_the_artifact_and_notices_another_answer(self, one_target: Target, tmp_path: Path) -> None:
        cell = _cell(self.adapter, one_target)
        inputs = cell.model.draw(NOMINAL)
        answers = cell.session.run(models.typed(inputs, cell.form.inputs))
        folder = fresh.deployed(self.adapter, cell.artifact, one_target, cell.folder, tmp_path / "deployed")
        fresh.write_sample(folder, inputs, answers)
        code, said = fresh.run_script(folder, "--check")
        assert code == 0, said
        assert all(spec.name in said for spec in cell.form.outputs)
        fresh.write_sample(folder, inputs, {name: 2 + value.astype("float32") for name, value in answers.items()})
        assert fresh.run_script(folder, "--check")[0] == 1

    def test_a_file_that_is_no_model_is_refused(self, one_target: Target, tmp_path: Path) -> None:
        _refuses_garbage(self.adapter, _cell(self.adapter, one_target).form, one_target, tmp_path)


# ---- what the tests share -----------------------------------------------------------------------------------------


def _refuses_garbage(adapter: type[Adapter], form: ExportedForm, target: Target, scratch: Path) -> None:
    """Assert that a file that is no model is refused, by convert or by load; by convert where nothing loads it."""
    garbage, folder = scratch / form.path.name, scratch / "garbage"
    garbage.write_bytes(b"\x00garbage" * 64)
    folder.mkdir()
    made = adapter()
    try:
        artifact = made.convert(replace(form, path=garbage), target, folder)
        if not _compiled_only(adapter, target):
            made.load(artifact, target, folder)
    except Exception as error:  # noqa: BLE001 -- backends raise what they like, as long as they raise
        meaning = made.classify(error)
        assert meaning is None or isinstance(meaning[0], Outcome)
    else:
        raise AssertionError("garbage was taken for a model")


def _refusal(adapter: type[Adapter], form: ExportedForm, target: Target, folder: Path) -> tuple[Outcome, Cause] | None:
    """What the adapter says of its own refusal to convert; None where it says nothing, or converts."""
    made = adapter()
    try:
        made.convert(form, target, folder)
    except Exception as error:  # noqa: BLE001 -- backends raise what they like
        return made.classify(error)
    return None


def _compiled_only(adapter: type[Adapter], target: Target) -> bool:
    return not adapter.evidence_of(target.device).ran


class _Cell:
    """A tiny model converted for a target and loaded in this process."""

    def __init__(self, adapter: type[Adapter], target: Target, make: Callable[[], TinyModel], need: FormNeed) -> None:
        self.model: TinyModel = make()
        self.folder = Path(tempfile.mkdtemp(dir=_scratch()))
        self.form: ExportedForm = _form(make, need, target.precision)
        self.artifact: Artifact = adapter().convert(self.form, target, self.folder)
        self.session: Session = adapter().load(self.artifact, target, self.folder)

    def inputs(self, sizes: Mapping[str, int], seed: int = 0) -> dict[str, Array]:
        return models.typed(self.model.draw(sizes, seed), self.form.inputs)


_CELLS: dict[tuple[type[Adapter], Target, Callable[[], TinyModel], FormNeed], _Cell] = {}
_PROBES: dict[type[Adapter], Probe] = {}


def _cell(
    adapter: type[Adapter], target: Target, make: Callable[[], TinyModel] | None = None, need: FormNeed | None = None
) -> _Cell:
    """Converted once for all tests of a target: a compiler may take its time. Usually the usual model, in the form that the
    adapter needs first."""
    key = (adapter, target, make or _usual(adapter), need or adapter.need)
    if key not in _CELLS:
        _CELLS[key] = _Cell(adapter, target, *key[2:])
    return _CELLS[key]


def _probe(adapter: type[Adapter]) -> Probe:
    if adapter not in _PROBES:
        _PROBES[adapter] = adapter().probe()
    return _PROBES[adapter]


@functools.cache
def _form(make: Callable[[], TinyModel], need: FormNeed, precision: Precision) -> ExportedForm:
    """The exported model for a target of `precision`."""
    ready = kit.folder()
    if ready:
        return kit.form(ready, make(), need, precision)
    return models.export(make(), need, precision, Path(tempfile.mkdtemp(dir=_scratch())))


def _usual(adapter: type[Adapter]) -> Callable[[], TinyModel]:
    """What makes the model that most tests convert."""
    return models.floating if adapter.floats_alone else models.mixed


@functools.cache
def _scratch() -> str:
    folder = tempfile.mkdtemp(prefix="conformance-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def available_targets(adapter: type[Adapter]) -> list[Target]:
    """The adapter's targets whose device is here and takes the precision."""
    states = _probe(adapter).devices
    return [
        target
        for target in adapter.targets()
        if (state := states[target.device]).available and target.precision in (state.precisions or [target.precision])
    ]


def _check(model: TinyModel, inputs: Arrays, answers: Arrays, effective: Precision) -> None:
    """Compare with eager, by the precision the backend computed in; ids and flags may flip below fp32."""
    import numpy as np

    ready = kit.folder()
    for name, expected in (kit.answers(ready, model, inputs) if ready else model.eager(inputs)).items():
        actual = answers[name]
        assert actual.shape == expected.shape, f"{name}: shape {actual.shape}, eager has {expected.shape}"
        if expected.dtype.kind == "f":
            error = np.linalg.norm(actual.astype(np.float64) - expected) / np.linalg.norm(expected)
            assert error <= TOLERANCE[effective], f"{name}: relative error {error:.2e} at {effective.value}"
        else:
            wrong = np.mean(actual != expected)
            assert wrong <= (0 if effective is Precision.FP32 else 0.2), f"{name}: {wrong:.0%} of the elements differ"


def _check_other_sizes(cell: _Cell) -> None:
    for sizes in OTHERS:
        inputs = cell.inputs(sizes)
        _check(cell.model, inputs, cell.session.run(inputs), cell.session.effective_precision())


def _check_static(cell: _Cell) -> None:
    inputs = cell.inputs({})
    _check(cell.model, inputs, cell.session.run(inputs), cell.session.effective_precision())


def _check_structure(cell: _Cell, answers: Arrays, sizes: Mapping[str, int]) -> None:
    """Every declared output, and no other, with its dtype and its shape at these sizes."""
    assert set(answers) == {spec.name for spec in cell.form.outputs}
    for spec in cell.form.outputs:
        assert str(answers[spec.name].dtype) == spec.dtype, spec.name
        assert answers[spec.name].shape == tuple(sizes.get(str(dim), dim) for dim in spec.shape), spec.name


def _assert_equal(actual: Arrays, expected: Arrays) -> None:
    assert set(actual) == set(expected)
    for name, value in expected.items():
        assert actual[name].tobytes() == value.tobytes(), f"{name} differs"


def _imports(tree: ast.AST) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or ".").split(".")[0])
    return found


def _import_names(distribution: str) -> list[str]:
    """Top-level names that a distribution on this machine provides; its own name where it is not installed."""
    from importlib.metadata import packages_distributions

    names = [name for name, owners in packages_distributions().items() if distribution in owners]
    return sorted(name for name in names if name.isidentifier()) or [distribution.replace("-", "_")]
