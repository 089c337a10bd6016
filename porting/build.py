"""Make a bundle, in a child of the warm server: build the model, run the reference, export forms.

Two jobs: `reference` (once a model) and `precision` (once more for each lower precision: the model is built again and its
weights are read back, so that no process ever holds them twice). Everything that is found out goes into bundle.json.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from porting import shapes, sources, weights
from porting.bundle import WEIGHTS, Bundle, Case, Failure, FormKey, FormRecord, read_bundle, write_bundle
from porting.cases import CaseInputs, cases, draw, other_size
from porting.compare import Noise, noise_of, reference_problem
from porting.eager import EagerModel
from porting.errors import ModelError
from porting.metrics import measure
from porting.tensors import write_tensors
from porting.types import Cause, InputSpec, ModelSpec, Outcome, Precision, Stage, TensorSpec, from_json
from porting.worker import Clock, describe

if TYPE_CHECKING:
    import numpy

    from porting.export import Exporter
    from porting.sources import BuiltModel

    Arrays = dict[str, numpy.ndarray[Any, Any]]
    ByCase = dict[str, Arrays]

ESTIMATE = {Precision.FP16: 3000.0, Precision.TF32: 3000.0, Precision.BF16: 24000.0}
"""Noise over fp32 noise where eager cannot run a precision itself; within a factor of two on 57 models (docs/verdicts.md)."""
MOVED = 5e-6
"""Relative change of an output from which an input counts as having moved it."""


class Engine:
    """Runs the reference of one model: eager PyTorch, or onnxruntime for a bare ONNX file."""

    kind = "eager"
    truth = "float64"

    def __init__(self, model: EagerModel) -> None:
        self.model = model

    def run(self, arrays: Mapping[str, Any], precision: Precision | None) -> Arrays:
        return self.model.run(dict(arrays), precision)


def reference(job: dict[str, Any], clock: Clock, _adapter: None) -> dict[str, Any]:
    """Build, find axes and cases, run truth and fp32, write the bundle; then export the forms asked for at fp32."""
    spec, folder = from_json(ModelSpec, job["spec"]), Path(job["bundle"])
    clock.enter(Stage.BUILD)
    built = _build(spec)
    clock.enter(Stage.REFERENCE)
    maker = _Maker(spec, built, folder)
    bundle = maker.make(job.get("given"))
    if "model" not in bundle.failures:
        _export_all(maker.exporter(bundle, Precision.FP32), bundle, job["forms"], clock)
    return {}


def precision(job: dict[str, Any], clock: Clock, _adapter: None) -> dict[str, Any]:
    """Add the noise of a lower precision, and the forms exported at it."""
    spec, folder = from_json(ModelSpec, job["spec"]), Path(job["bundle"])
    wanted = Precision(job["precision"])
    clock.enter(Stage.BUILD)
    built = _build(spec)
    bundle = read_bundle(folder, verify=False)
    maker = _Maker(spec, built, folder)
    maker.restore(bundle)
    clock.enter(Stage.REFERENCE)
    if wanted.value not in bundle.noise and wanted.value not in bundle.failures:
        bundle = maker.add_precision(bundle, wanted)
    elif wanted is not Precision.FP32 and job["forms"]:
        maker.engine.model.to(wanted)
    if job["forms"]:
        _export_all(maker.exporter(bundle, wanted), bundle, job["forms"], clock)
    return {}


def _build(spec: ModelSpec) -> BuiltModel:
    import torch

    torch.set_grad_enabled(False)
    torch.manual_seed(int.from_bytes(hashlib.sha256(spec.id.encode()).digest()[:4], "big"))
    return sources.source(spec.source).build(spec)


class _Maker:
    """The steps of a bundle, in order, over one built model."""

    def __init__(self, spec: ModelSpec, built: BuiltModel, folder: Path) -> None:
        self.spec, self.built, self.folder = spec, built, folder
        self.inputs: tuple[InputSpec, ...] = built.inputs
        self.notes = list(built.notes)
        self.engine = self._engine()

    def _engine(self) -> Any:
        if self.built.onnx is not None:
            from porting.onnx_reference import OnnxEngine

            return OnnxEngine(self.built.onnx)
        assert self.built.module is not None
        return Engine(EagerModel(self.built.module, [i.name for i in self.inputs], self.built.constants))

    # ---- the reference job

    def make(self, given: str | None) -> Bundle:
        (self.folder / "cases").mkdir(parents=True, exist_ok=True)
        self._weights()
        if given:
            drawn, axes = self._given(Path(given)), dict.fromkeys(self.built.sizes, "given inputs")
        else:
            axes = self._find_axes()
            self._drop_ignored_inputs()
            drawn = self._draw(frozenset(name for name, state in axes.items() if state == "varies"))
        bundle = self._run(drawn, axes)
        files = [name for case in bundle.cases for name in (case.inputs, case.truth, case.eager(Precision.FP32))]
        if self.built.module is not None:
            files += self._save_weights()
        return write_bundle(bundle, files)

    def _weights(self) -> None:
        """The recipe, on random weights only."""
        module = self.built.module
        if module is None or self.spec.weights != "random":
            return
        weights.randomise(module)
        draws = [self._nominal(structure) for structure in ("nominal", "contrast", "edge")]
        draws += [self._nominal("contrast", f"calibration{n}") for n in range(3)]
        passes: list[Callable[[], object]] = [lambda d=d: self.engine.run(d, Precision.FP32) for d in draws]  # type: ignore[misc]
        weights.calibrate(module, passes, lambda: self._margin(draws[0], draws[1]))

    def _margin(self, one: Arrays, other: Arrays) -> float:
        """Sensitivity to the input over the noise of fp32, of the output that has least."""
        first, second = self.engine.run(one, Precision.FP32), self.engine.run(other, Precision.FP32)
        truth = self.engine.run(one, None)
        return min(
            (
                measure(second[n], first[n]).rel / max(measure(first[n], truth[n]).rel, 1e-9)
                for n in truth
                if truth[n].dtype.kind == "f"
            ),
            default=weights.GOOD_MARGIN,
        )

    def _nominal(self, structure: str, seed: str = "") -> Arrays:
        return draw(self.inputs, self.built.sizes, structure, f"{self.spec.id}/{seed or structure}")

    # ---- axes and inputs

    def _find_axes(self) -> dict[str, str]:
        """Run eager at a second size along each axis: `varies`, or why not."""
        self._must_run()
        found = {}
        for axis in sorted(shapes.axis_names(i.shape for i in self.inputs)):
            found[axis] = "fixed by the model" if axis in self.built.fixed else self._try_axis(axis)
        return found

    def _must_run(self) -> None:
        try:
            self.engine.run(self._nominal("nominal"), Precision.FP32)
        except ModelError:
            raise
        except Exception as error:
            raise ModelError(f"the model does not run on its own inputs: {type(error).__name__}: {error}") from error

    def _try_axis(self, axis: str) -> str:
        for size in other_size(axis, self.built.sizes[axis], self.built.steps):
            try:
                arrays = draw(self.inputs, {**self.built.sizes, axis: size}, "nominal", self.spec.id)
                self.engine.run(arrays, Precision.FP32)
            except Exception as error:  # noqa: BLE001 -- whatever a model raises at another size, it does not take it
                return f"eager refuses size {size}: {_short(error)}"
        return "varies"

    def _drop_ignored_inputs(self) -> None:
        """Leave out inputs that move no output; report those that the model insists on getting all the same."""
        base, other = self._nominal("nominal"), self._nominal("contrast")
        before = self.engine.run(base, Precision.FP32)
        for spec in self.inputs:
            if len(self.inputs) > 1 and not self._moves(
                before, {**base, spec.name: other[spec.name]}, same=(base, other, spec.name)
            ):
                self._leave_out(spec, base)

    def _moves(self, before: Arrays, changed: Arrays, same: tuple[Arrays, Arrays, str]) -> bool:
        base, other, name = same
        if base[name].shape == other[name].shape and (base[name] == other[name]).all():
            return True  # this input is the same in every case: nothing was asked
        try:
            after = self.engine.run(changed, Precision.FP32)
        except Exception:  # noqa: BLE001 -- a model that refuses the mixture does look at the input
            return True
        return any(n not in after or _differs(after[n], before[n]) for n in before)

    def _leave_out(self, spec: InputSpec, base: Arrays) -> None:
        model = getattr(self.engine, "model", None)
        if model is None:
            self.notes.append(f"input {spec.name} is ignored by the model")
            return
        kept = tuple(n for n in model.names if n != spec.name)
        names, model.names = model.names, kept
        try:
            self.engine.run(base, Precision.FP32)
        except Exception:  # noqa: BLE001 -- it is required, though it moves nothing
            model.names = names
            self.notes.append(f"input {spec.name} is ignored by the model, which requires it all the same")
            return
        self.inputs = tuple(i for i in self.inputs if i.name != spec.name)
        self.notes.append(f"input {spec.name} is ignored by the model and was left out")

    # ---- cases

    def _draw(self, varying: frozenset[str]) -> list[CaseInputs]:
        """Draw the cases; one whose combination of sizes eager refuses is left out."""
        kept = []
        for case in cases(self.inputs, self.built.sizes, varying, self.spec.id, self.built.steps):
            try:
                if not case.nominal:
                    self.engine.run(case.arrays, Precision.FP32)
            except Exception as error:  # noqa: BLE001 -- see above
                self.notes.append(f"case {case.name} left out: eager refuses it: {_short(error)}")
            else:
                kept.append(case)
        return kept

    def _given(self, path: Path) -> list[CaseInputs]:
        """Cases from a person's file, each with a rolled twin that tells a right answer from a constant one."""
        from porting.tensors import read_tensors

        cases_given = json.loads((path / "given.json").read_text())
        made = []
        for name in cases_given:
            arrays = read_tensors(path / f"{name}.npz")
            self._fit(arrays)
            made.append(CaseInputs(name, dict(self.built.sizes), arrays, True))
        if len(made) == 1:
            import numpy as np

            rolled = {n: np.roll(a, 1, axis=-1) if a.ndim else a for n, a in made[0].arrays.items()}
            made.append(CaseInputs(f"{made[0].name}-rolled", dict(self.built.sizes), rolled, True))
        return made

    def _fit(self, arrays: Arrays) -> None:
        wanted = {i.name: i for i in self.inputs}
        lost, extra = [n for n in wanted if n not in arrays], [n for n in arrays if n not in wanted]
        if lost or extra:
            raise ModelError(
                f"the inputs given do not fit the model: it takes {', '.join(wanted)}; "
                f"missing: {', '.join(lost) or 'none'}, unknown: {', '.join(extra) or 'none'}."
            )

    # ---- running

    def _run(self, drawn: Sequence[CaseInputs], axes: Mapping[str, str]) -> Bundle:
        truth: ByCase = {}
        eager: ByCase = {}
        for case in drawn:
            truth[case.name] = self.engine.run(case.arrays, None)
            eager[case.name] = self.engine.run(case.arrays, Precision.FP32)
            self._write_case(case, truth[case.name], eager[case.name])
        again = self.engine.run(drawn[0].arrays, Precision.FP32)
        noise = noise_of(eager, truth)
        module = self.built.module
        return Bundle(
            self.spec.id,
            self.folder,
            self.engine.kind,
            truth=self.engine.truth,
            params=sum(p.numel() for p in module.parameters()) if module is not None else None,
            weights_bytes=sum(t.nbytes for t in module.state_dict().values()) if module is not None else 0,
            inputs=tuple(TensorSpec(i.name, i.dtype, i.shape) for i in self.inputs),
            outputs=self._outputs(drawn[0].arrays),
            cases=tuple(Case(c.name, c.sizes, c.nominal) for c in drawn),
            axes=axes,
            noise={Precision.FP32.value: noise} if _storable(noise) else {},
            failures=_failures(truth, noise, eager[drawn[0].name], again),
            versions=_versions(self.spec),
            notes=tuple(self.notes),
        )

    def _outputs(self, arrays: Mapping[str, Any]) -> tuple[TensorSpec, ...]:
        if self.built.onnx is not None:
            specs: tuple[TensorSpec, ...] = self.engine.outputs()
            return specs
        return self.engine.model.output_specs(dict(arrays), Precision.FP32)  # type: ignore[no-any-return]

    def _write_case(self, case: CaseInputs, truth: Arrays, eager: Arrays) -> None:
        record = Case(case.name, case.sizes, case.nominal)
        write_tensors(self.folder / record.inputs, case.arrays)
        write_tensors(self.folder / record.truth, truth)
        write_tensors(self.folder / record.eager(Precision.FP32), eager)

    def _save_weights(self) -> list[str]:
        """Write the state once, each storage once; safetensors writes from where the tensors lie."""
        from safetensors.torch import save_file

        assert self.built.module is not None
        seen: dict[tuple[int, int], str] = {}
        state = {}
        for name, tensor in self.built.module.state_dict().items():
            place = (tensor.data_ptr(), tensor.nbytes)
            if tensor.nbytes and place in seen:
                continue
            seen[place] = name
            state[name] = tensor if tensor.is_contiguous() else tensor.contiguous()
        save_file(state, self.folder / WEIGHTS)
        return [WEIGHTS]

    # ---- the precision job

    def restore(self, bundle: Bundle) -> None:
        """Bring the model that was just built to the state and inputs that the bundle was made with."""
        names = [spec.name for spec in bundle.inputs]
        self.inputs = tuple(i for i in self.inputs if i.name in names)
        if self.built.module is None:
            return
        self.engine.model.names = tuple(names)
        _load_weights(self.built.module, self.folder / WEIGHTS)

    def add_precision(self, bundle: Bundle, wanted: Precision) -> Bundle:
        eager: ByCase = {}
        try:
            if self.built.module is None:
                raise ModelError("a bare ONNX file has no eager run of its own")
            self.engine.model.to(wanted)
            for case in bundle.cases:
                eager[case.name] = self.engine.run(bundle.read(case.inputs), wanted)
                write_tensors(self.folder / case.eager(wanted), eager[case.name])
        except Exception as error:  # noqa: BLE001 -- eager lacks kernels at low precision for some models
            return self._estimate(bundle, wanted, _short(error))
        truth = {case.name: bundle.read(case.truth) for case in bundle.cases}
        noise = noise_of(eager, truth)
        failure = _reference_failure(truth, noise, wanted)
        bundle = replace(
            bundle,
            noise=dict(bundle.noise) | ({wanted.value: noise} if _storable(noise) else {}),
            failures=dict(bundle.failures) | ({wanted.value: failure} if failure else {}),
        )
        return write_bundle(bundle, [case.eager(wanted) for case in bundle.cases])

    def _estimate(self, bundle: Bundle, wanted: Precision, why: str) -> Bundle:
        factor = ESTIMATE[wanted]
        noise = {
            name: Noise(n.rel * factor, n.row * factor, n.peak * factor, n.flips)
            for name, n in bundle.noise.get(Precision.FP32.value, {}).items()
        }
        truth = {case.name: bundle.read(case.truth) for case in bundle.cases}
        failure = _reference_failure(truth, noise, wanted)
        note = f"noise at {wanted.value} is estimated as {factor:g} times that of fp32: {why}"
        bundle = replace(
            bundle,
            noise=dict(bundle.noise) | {wanted.value: noise},
            failures=dict(bundle.failures) | ({wanted.value: failure} if failure else {}),
            notes=(*bundle.notes, note),
        )
        return write_bundle(bundle, [])

    # ---- forms

    def exporter(self, bundle: Bundle, wanted: Precision) -> Exporter | Any:
        if self.built.onnx is not None:
            from porting.onnx_reference import OnnxForms

            return OnnxForms(self.built.onnx, bundle)
        from porting.eager import as_tensor, torch_dtype
        from porting.export import Exporter

        nominal = next(case for case in bundle.cases if case.nominal)
        arrays = bundle.read(nominal.inputs)
        example = [as_tensor(arrays[spec.name], torch_dtype(wanted)) for spec in bundle.inputs]
        outputs = self.engine.model.output_specs(arrays, wanted)
        varying = frozenset(axis for axis, state in bundle.axes.items() if state == "varies")
        return Exporter(self.engine.model.flat(), bundle.inputs, outputs, example, varying, bundle.folder)


def _export_all(exporter: Any, bundle: Bundle, keys: Sequence[str], clock: Clock) -> None:
    """Export form by form; a form that fails is recorded and does not end the others."""
    for text in keys:
        clock.enter(Stage.EXPORT, text)
        try:
            record = exporter.export(FormKey.parse(text))
        except Exception as error:  # noqa: BLE001 -- exporters raise whatever a model made them stumble over
            import traceback

            traceback.print_exc()
            said = describe(error, None)
            outcome, cause = getattr(error, "verdict", (Outcome(said["outcome"]), Cause(said["cause"])))
            message = said["message"] if said["usage"] else f"{said['type']}: {said['message'][:2000]}"
            record = FormRecord(text, failure=Failure(Stage.EXPORT, outcome, cause, message))
        made = [p for p in bundle.folder.rglob("*") if p.is_file() and str(p.relative_to(bundle.folder)).startswith(text)]
        new = [str(p.relative_to(bundle.folder)) for p in made]
        bundle = write_bundle(replace(bundle, forms=dict(bundle.forms) | {text: record}), new)


def _short(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:160] if lines else type(error).__name__


def _differs(a: Any, b: Any) -> bool:
    if a.shape != b.shape:
        return True
    if a.dtype.kind != "f":
        return bool((a != b).any())
    return not measure(a, b).rel <= MOVED


def _storable(noise: Mapping[str, Noise]) -> bool:
    return all(max(n.rel, n.row, n.peak) < float("inf") for n in noise.values())


def _failures(truth: ByCase, noise: Mapping[str, Noise], first: Arrays, again: Arrays) -> dict[str, Failure]:
    failures = {}
    import numpy as np

    if any(not np.array_equal(first[n], again[n], equal_nan=first[n].dtype.kind == "f") for n in first):
        message = "two eager runs on the same inputs differ: the model is random"
        failures["model"] = Failure(Stage.REFERENCE, Outcome.INVALID, Cause.NONDETERMINISTIC, message)
    names = [sorted(outputs) for outputs in truth.values()]
    if any(n != names[0] for n in names):
        message = "the number or names of the outputs differ from case to case"
        failures["model"] = Failure(Stage.REFERENCE, Outcome.INVALID, Cause.OUTPUT_STRUCTURE, message)
    else:
        failure = _reference_failure(truth, noise, Precision.FP32)
        failures |= {Precision.FP32.value: failure} if failure else {}
    return failures


def _reference_failure(truth: ByCase, noise: Mapping[str, Noise], wanted: Precision) -> Failure | None:
    problem = reference_problem(truth, noise, wanted)
    if problem is None or problem.cause is None:
        return None
    return Failure(Stage.REFERENCE, problem.outcome, problem.cause, problem.message)


def _versions(spec: ModelSpec) -> dict[str, str]:
    import importlib.metadata

    from porting import __version__

    versions = {"porting": __version__, **sources.source(spec.source).fingerprint(spec)}
    for name in ("torch", "onnx", "onnxscript", "onnx-ir", "numpy"):
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def _load_weights(module: Any, path: Path) -> None:
    """Copy the bundle's weights into a module that was just built, tensor by tensor."""
    from safetensors import safe_open

    state = dict(itertools.chain(module.named_parameters(remove_duplicate=False), module.named_buffers(remove_duplicate=False)))
    with safe_open(path, framework="pt") as file:
        for name in file.keys():  # noqa: SIM118 -- no mapping
            state[name].data.copy_(file.get_tensor(name))
