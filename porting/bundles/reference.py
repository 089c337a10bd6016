"""The reference of a model: weights that show faults, axes that vary, cases, truth, noise. What a target is held against.

Works on one built model, in the process of a build job. Jobs, exports and the bundle's file are porting.bundles.build's.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from porting.bundles import prompts, shapes, weights
from porting.bundles.bundle import WEIGHTS, Bundle, Case, Failure, write_bundle
from porting.bundles.cases import CaseInputs, cases, draw, other_size
from porting.bundles.eager import EagerModel
from porting.bundles.tensors import write_tensors
from porting.errors import ModelError
from porting.numerics.compare import Noise, noise_of, reference_problem
from porting.numerics.metrics import measure
from porting.types import Cause, InputSpec, ModelSpec, Outcome, Precision, Stage, TensorSpec

if TYPE_CHECKING:
    import numpy

    from porting.sources import BuiltModel

    Arrays = dict[str, numpy.ndarray[Any, Any]]
    ByCase = dict[str, Arrays]

ESTIMATE = {Precision.FP16: 3000.0, Precision.TF32: 3000.0, Precision.BF16: 24000.0}
"""Noise over fp32 noise where eager cannot run a precision itself; within a factor of two on 57 models (docs/verdicts.md)."""
MOVED = 5e-6
"""Relative change of an output from which an input counts as having moved it."""


class EagerEngine:
    """Runs the reference in eager PyTorch. A bare ONNX file has porting.bundles.onnx_reference.OnnxEngine instead."""

    kind = "eager"
    truth = "float64"

    def __init__(self, model: EagerModel) -> None:
        self.model = model

    def run(self, arrays: Mapping[str, Any], precision: Precision | None) -> Arrays:
        """Run once; precision None is the wide run."""
        return self.model.run(dict(arrays), precision)

    def outputs(self) -> tuple[TensorSpec, ...]:
        """Names, dtypes and shapes that the last run at a precision gave."""
        return self.model.outputs


class Reference:
    """Finds out, step by step, all that a bundle says about one built model."""

    def __init__(self, spec: ModelSpec, built: BuiltModel, folder: Path) -> None:
        self.spec, self.built, self.folder = spec, built, folder
        self.inputs: tuple[InputSpec, ...] = built.inputs
        self.notes = list(built.notes)
        self.engine = self._engine()
        self._eager: ByCase = {}
        """What fp32 answered, by case: every case is run once."""

    def _engine(self) -> Any:
        if self.built.onnx is not None:
            from porting.bundles.onnx_reference import OnnxEngine

            return OnnxEngine(self.built.onnx)
        assert self.built.module is not None
        return EagerEngine(EagerModel(self.built.module, [i.name for i in self.inputs], self.built.constants))

    # ---- at fp32

    def make(self, given: Path | None) -> Bundle:
        """Find weights, axes and cases, run them wide and at fp32, and write the bundle. Raises ModelError."""
        (self.folder / "cases").mkdir(parents=True, exist_ok=True)
        self._give_weights()
        drawn, axes = self._take(given) if given else self._explore()
        bundle = self._bundle(drawn, axes)
        bundle, generated = self._continue(bundle)
        files = [name for case in bundle.cases for name in (case.inputs, case.truth, case.eager(Precision.FP32))]
        files += generated
        if self.built.module is not None:
            save_weights(self.built.module, self.folder / WEIGHTS)
            files.append(WEIGHTS)
        return write_bundle(bundle, files)

    def _give_weights(self) -> None:
        """The recipe, on random weights only."""
        module = self.built.module
        if module is None or self.spec.weights != "random":
            return
        weights.randomise(module)
        if not weights.batch_norms(module):
            return
        draws = [self._nominal(structure) for structure in ("nominal", "contrast", "edge")]
        draws += [self._nominal("contrast", f"calibration{n}") for n in range(3)]
        passes: list[Callable[[], object]] = [lambda d=d: self.engine.run(d, Precision.FP32) for d in draws]  # type: ignore[misc]
        weights.calibrate(module, passes, lambda: self._margin(draws[:3]))

    def _margin(self, draws: Sequence[Arrays]) -> float:
        """Sensitivity to the input over the noise of fp32, of the output and draws that have least. Answers that differ by
        more than their own size are no easier to tell apart."""
        eager = [self.engine.run(arrays, Precision.FP32) for arrays in draws]
        truth = [self.engine.run(arrays, None) for arrays in draws]
        margins = []
        for name in (n for n in truth[0] if truth[0][n].dtype.kind == "f"):
            noise = max(measure(e[name], t[name]).rel for e, t in zip(eager, truth, strict=True))
            apart = min(measure(a[name], b[name]).rel for a, b in itertools.permutations(truth, 2))
            margins.append(min(apart, 1.0) / max(noise, 1e-9))
        return min(margins, default=weights.GOOD_MARGIN)

    def _nominal(self, structure: str, seed: str = "") -> Arrays:
        return draw(self.inputs, self.built.sizes, structure, f"{self.spec.id}/{seed or structure}")

    # ---- axes and cases

    def _explore(self) -> tuple[list[CaseInputs], dict[str, str]]:
        """Cases over every axis that eager runs at two other sizes, and what was found about each axis.

        All axes are varied at once first, which is all there is to do for most models.
        """
        names = sorted(shapes.axis_names(i.shape for i in self.inputs))
        axes = {name: "fixed by the model" if name in self.built.fixed else "varies" for name in names}
        drawn = self._cases(axes)
        self._must_run(drawn[0])
        if any(self._refusal(case) for case in drawn[1:]):
            axes |= {name: self._try_axis(name) for name, state in axes.items() if state == "varies"}
            drawn = self._accepted(self._cases(axes))
        self._drop_ignored_inputs(drawn)
        return drawn, axes

    def _cases(self, axes: Mapping[str, str]) -> list[CaseInputs]:
        varying = frozenset(name for name, state in axes.items() if state == "varies")
        return cases(self.inputs, self.built.sizes, varying, self.spec.id, self.built.steps)

    def _must_run(self, case: CaseInputs) -> None:
        try:
            self._eager[case.name] = self.engine.run(case.arrays, Precision.FP32)
        except ModelError:
            raise
        except Exception as error:
            takes = ", ".join(f"{i.name} {i.dtype}{list(i.shape)}" for i in self.inputs)
            got = ", ".join(f"{name} {array.dtype}{list(array.shape)}" for name, array in case.arrays.items())
            message = f"the model does not run on these inputs: {type(error).__name__}: {short(error).rstrip('.')}."
            raise ModelError(message, f"It takes {takes}; case {case.name} has {got}.") from error

    def _refusal(self, case: CaseInputs) -> str:
        """Run a case; what eager says against it, or nothing."""
        try:
            self._eager[case.name] = self.engine.run(case.arrays, Precision.FP32)
        except Exception as error:  # noqa: BLE001 -- whatever a model raises at another size, it does not take it
            return short(error) or type(error).__name__
        return ""

    def _try_axis(self, axis: str) -> str:
        for size in other_size(axis, self.built.sizes[axis], self.built.steps):
            try:
                arrays = draw(self.inputs, {**self.built.sizes, axis: size}, "nominal", self.spec.id)
                self.engine.run(arrays, Precision.FP32)
            except Exception as error:  # noqa: BLE001 -- see above
                return f"eager refuses size {size}: {short(error)}"
        return "varies"

    def _accepted(self, drawn: Sequence[CaseInputs]) -> list[CaseInputs]:
        """The cases that eager takes; sizes that go one by one may not go together."""
        refusals = {case.name: self._refusal(case) for case in drawn}
        self.notes += [f"case {name} left out: eager refuses it: {why}" for name, why in refusals.items() if why]
        return [case for case in drawn if not refusals[case.name]]

    def _take(self, given: Path) -> tuple[list[CaseInputs], dict[str, str]]:
        """A person's own inputs: an axis varies if it does in them."""
        from porting.bundles.given import read_cases

        drawn = read_cases(given, self.inputs)
        for case in drawn:
            self._must_run(case)
        seen = {axis: {case.sizes[axis] for case in drawn} for axis in drawn[0].sizes}
        return drawn, {axis: "varies" if len(sizes) > 1 else "given inputs" for axis, sizes in seen.items()}

    # ---- inputs that do nothing

    def _drop_ignored_inputs(self, drawn: Sequence[CaseInputs]) -> None:
        """Leave out inputs that move no output; report those that the model insists on getting all the same."""
        base = dict(drawn[0].arrays)
        other = next((c.arrays for c in drawn[1:] if c.nominal), base)
        for spec in self.inputs if len(self.inputs) > 1 else ():
            if not self._moves(spec.name, base, other, self._eager[drawn[0].name]):
                self._leave_out(spec, base)

    def _moves(self, name: str, base: Arrays, other: Mapping[str, Any], before: Arrays) -> bool:
        """Whether taking input `name` from another case changes any output."""
        if base[name].shape == other[name].shape and (base[name] == other[name]).all():
            return True  # it is the same in every case: nothing was asked
        try:
            after = self.engine.run({**base, name: other[name]}, Precision.FP32)
        except Exception:  # noqa: BLE001 -- a model that refuses the mixture does look at the input
            return True
        return any(n not in after or _differs(after[n], before[n]) for n in before)

    def _leave_out(self, spec: InputSpec, base: Arrays) -> None:
        model = getattr(self.engine, "model", None)
        if model is None:
            self.notes.append(f"input {spec.name} is ignored by the model")
            return
        names, model.names = model.names, tuple(n for n in model.names if n != spec.name)
        try:
            self.engine.run(base, Precision.FP32)
        except Exception:  # noqa: BLE001 -- it is required, though it moves nothing
            model.names = names
            self.notes.append(f"input {spec.name} is ignored by the model, which requires it all the same")
            return
        self.inputs = tuple(i for i in self.inputs if i.name != spec.name)
        self.notes.append(f"input {spec.name} is ignored by the model and was left out")

    # ---- truth and noise

    def _bundle(self, drawn: Sequence[CaseInputs], axes: Mapping[str, str]) -> Bundle:
        names = [spec.name for spec in self.inputs]
        truth: ByCase = {}
        for case in drawn:
            arrays = {name: case.arrays[name] for name in names}
            truth[case.name] = self.engine.run(arrays, None)
            self._write_case(case, arrays, truth[case.name])
        eager = {case.name: self._eager[case.name] for case in drawn}
        again = self.engine.run(drawn[0].arrays, Precision.FP32)
        noise = noise_of(eager, truth)
        module = self.built.module
        return Bundle(
            self.spec.id,
            self.folder,
            self.engine.kind,
            truth=self.engine.truth,
            architecture=type(module).__name__ if module is not None else "",
            params=sum(p.numel() for p in module.parameters()) if module is not None else None,
            weights_bytes=sum(t.nbytes for t in module.state_dict().values()) if module is not None else 0,
            inputs=tuple(TensorSpec(i.name, i.dtype, i.shape) for i in self.inputs),
            outputs=self.engine.outputs(),
            cases=tuple(Case(c.name, c.sizes, c.nominal) for c in drawn),
            axes=axes,
            noise={Precision.FP32.value: noise} if _storable(noise) else {},
            failures=_failures(truth, noise, eager[drawn[0].name], again),
            notes=tuple(self.notes),
        )

    def _continue(self, bundle: Bundle) -> tuple[Bundle, list[str]]:
        """The bundle with greedy generation, and the files of it. What eager refuses is left out, and said."""
        asked, sizes, seed = self.built.prompts, self.built.sizes, self.spec.id
        if not asked or "model" in bundle.failures:
            return bundle, []
        starts = {prompt.name: prompts.start(self.inputs, sizes, prompt, seed) for prompt in asked}
        try:
            noise, files = prompts.write(self.folder, asked, starts, self.engine.run)
        except Exception as error:  # noqa: BLE001 -- whatever a model raises at such a call, it does not take it
            return replace(bundle, notes=(*bundle.notes, f"nothing was generated: eager refuses it: {short(error)}")), []
        return replace(bundle, prompts=asked, prompts_noise=_by_precision(Precision.FP32, noise)), files

    def _write_case(self, case: CaseInputs, arrays: Arrays, truth: Arrays) -> None:
        record = Case(case.name, case.sizes, case.nominal)
        write_tensors(self.folder / record.inputs, arrays)
        write_tensors(self.folder / record.truth, truth)
        write_tensors(self.folder / record.eager(Precision.FP32), self._eager[case.name])

    # ---- at a lower precision

    def restore(self, bundle: Bundle) -> None:
        """Bring the model that was just built to the weights and inputs that the bundle was made with."""
        names = [spec.name for spec in bundle.inputs]
        self.inputs = tuple(i for i in self.inputs if i.name in names)
        if self.built.module is not None:
            self.engine.model.names = tuple(names)
            load_weights(self.built.module, self.folder / WEIGHTS)

    def add_precision(self, bundle: Bundle, wanted: Precision) -> Bundle:
        """Add the noise of a precision; estimated from fp32's where eager cannot run it. The model is left at that precision."""
        try:
            eager = self._run_at(bundle, wanted)
        except Exception as error:  # noqa: BLE001 -- eager lacks kernels at low precision for some models
            return self._with_noise(bundle, wanted, self._estimate(bundle, wanted, error), [])
        noise = noise_of(eager, _truth(bundle))
        if bundle.prompts:
            of_prompts = _by_precision(wanted, prompts.noise_at(bundle, wanted, self.engine.run))
            bundle = replace(bundle, prompts_noise={**bundle.prompts_noise, **of_prompts})
        return self._with_noise(bundle, wanted, noise, [case.eager(wanted) for case in bundle.cases])

    def _run_at(self, bundle: Bundle, wanted: Precision) -> ByCase:
        if self.built.module is None:
            raise ModelError("a bare ONNX file has no eager run of its own")
        self.engine.model.to(wanted)
        eager: ByCase = {}
        for case in bundle.cases:
            eager[case.name] = self.engine.run(bundle.read(case.inputs), wanted)
            write_tensors(self.folder / case.eager(wanted), eager[case.name])
        return eager

    def _estimate(self, bundle: Bundle, wanted: Precision, why: Exception) -> dict[str, Noise]:
        factor = ESTIMATE[wanted]
        self.notes.append(f"noise at {wanted.value} is estimated as {factor:g} times that of fp32: {short(why)}")
        fp32 = bundle.noise.get(Precision.FP32.value, {})
        return {name: Noise(n.rel * factor, n.row * factor, n.peak * factor, n.flips) for name, n in fp32.items()}

    def _with_noise(self, bundle: Bundle, wanted: Precision, noise: dict[str, Noise], files: list[str]) -> Bundle:
        failures = {precision: failure for precision, failure in bundle.failures.items() if precision != wanted.value}
        failure = _failure(_truth(bundle), noise, wanted)
        new_notes = tuple(note for note in self.notes if note not in bundle.notes)
        bundle = replace(
            bundle,
            noise=dict(bundle.noise) | ({wanted.value: noise} if _storable(noise) else {}),
            failures=failures | ({wanted.value: failure} if failure else {}),
            notes=bundle.notes + new_notes,
        )
        return write_bundle(bundle, files)


def short(error: BaseException) -> str:
    """First line of an error."""
    lines = str(error).strip().splitlines()
    return lines[0][:160] if lines else type(error).__name__


def _truth(bundle: Bundle) -> ByCase:
    return {case.name: bundle.read(case.truth) for case in bundle.cases}


def _differs(a: Any, b: Any) -> bool:
    if a.shape != b.shape:
        return True
    if a.dtype.kind != "f":
        return bool((a != b).any())
    return not measure(a, b).rel <= MOVED


def _by_precision(precision: Precision, noise: Noise) -> dict[str, Noise]:
    return {precision.value: noise} if _storable({"logits": noise}) else {}


def _storable(noise: Mapping[str, Noise]) -> bool:
    return all(max(n.rel, n.row, n.peak) < float("inf") for n in noise.values())


def _failures(truth: ByCase, noise: Mapping[str, Noise], first: Arrays, again: Arrays) -> dict[str, Failure]:
    import numpy as np

    failures = {}
    if any(not np.array_equal(first[n], again[n], equal_nan=first[n].dtype.kind == "f") for n in first):
        message = "two eager runs on the same inputs differ: the model is random"
        failures["model"] = Failure(Stage.REFERENCE, Outcome.INVALID, Cause.NONDETERMINISTIC, message)
    names = [sorted(outputs) for outputs in truth.values()]
    if any(n != names[0] for n in names):
        message = "the number or names of the outputs differ from case to case"
        failures["model"] = Failure(Stage.REFERENCE, Outcome.INVALID, Cause.OUTPUT_STRUCTURE, message)
    else:
        failure = _failure(truth, noise, Precision.FP32)
        failures |= {Precision.FP32.value: failure} if failure else {}
    return failures


def _failure(truth: ByCase, noise: Mapping[str, Noise], wanted: Precision) -> Failure | None:
    problem = reference_problem(truth, noise, wanted)
    if problem is None or problem.cause is None:
        return None
    return Failure(Stage.REFERENCE, problem.outcome, problem.cause, problem.message)


# ---- weights on disk ----------------------------------------------------------------------------------------------


def save_weights(module: Any, path: Path) -> None:
    """Write the state, each storage once; safetensors writes from where the tensors lie."""
    from safetensors.torch import save_file

    seen: set[tuple[int, int]] = set()
    state = {}
    for name, tensor in module.state_dict().items():
        place = (tensor.data_ptr(), tensor.nbytes)
        if not tensor.nbytes or place not in seen:
            seen.add(place)
            state[name] = tensor if tensor.is_contiguous() else tensor.contiguous()
    save_file(state, path)


def load_weights(module: Any, path: Path) -> None:
    """Copy weights into a module that was just built, tensor by tensor."""
    from safetensors import safe_open

    state = dict(itertools.chain(module.named_parameters(remove_duplicate=False), module.named_buffers(remove_duplicate=False)))
    with safe_open(path, framework="pt") as file:
        for name in file.keys():  # noqa: SIM118 -- no mapping
            state[name].data.copy_(file.get_tensor(name))
