"""A cell whose model is run in parts: what the target does not take is the host's, and the result is at best `degraded`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from porting import registry, routes
from porting.bundles.bundle import Case, FormRecord
from porting.bundles.bundler import Bundler
from porting.bundles.tensors import read_tensors, write_tensors
from porting.cells.attempt import Attempt
from porting.cells.jobs import Jobs, Options, Stop
from porting.rewrites.parts import Part
from porting.serialization import Json, from_json, to_json
from porting.types import Artifact, Cause, Outcome, Placement, Precision, Stage, Target
from porting.verdict import Finding
from porting.workspace import disk_errors

HOST = Target("onnxruntime", "cpu", Precision.FP32)
"""Runs what is left to the host."""
MOST_PARTS = 24
"""A model that is cut into more is not worth the target."""

Tensors = dict[str, Any]


class Parted(Attempt):
    """Works a cell part by part: each is converted and run where it belongs, on what the parts before it made."""

    def _steps(self, jobs: Jobs, bundler: Bundler, _options: Options) -> Finding:
        form = self._form(bundler)
        self.evidence = self.cell.adapter.evidence_of(self.cell.target.device)
        parts = self._parts(jobs, form)
        judged = self.bundle.cases_for(form)
        at_hand = [read_tensors(self.bundle.folder / case.inputs) for case in judged]
        placements: list[Placement] = []
        for number, part in enumerate(parts):
            answer = self._work(jobs, number, part, form, at_hand)
            if not part.hosted:
                placements.append(_of_nodes(from_json(Placement, answer["placement"]), part))
                self._computed(Precision(answer["effective_precision"]))
        self.placement = _joined(placements, parts)
        self.artifact = Artifact((), form.inputs, form.outputs)
        outputs = self._kept(judged, at_hand, form)
        return self._never_whole(self._judge(bundler, form, judged, outputs))

    def _parts(self, jobs: Jobs, form: FormRecord) -> list[Part]:
        """Cut the form. Raises Stop where nothing is left for the target, or nothing to leave to the host."""
        hosted = routes.hosted_of(self.key.route)
        folder = self.folder / "model"
        payload = {
            "kind": "porting.rewrites.parts:job",
            "model": str(self.bundle.folder / form.path),
            "hosted": list(hosted),
            "folder": str(folder),
        }
        parts = [from_json(Part, part) for part in jobs.must(payload, self.trail, "", self.bundle)]
        names = ", ".join(hosted)
        if not any(part.hosted for part in parts):
            raise Stop(_unsupported(f"the model has no operator {names} that could be left to the host"))
        if all(part.hosted for part in parts):
            raise Stop(_unsupported(f"without {names} nothing is left for the target"))
        if len(parts) > MOST_PARTS:
            raise Stop(_unsupported(f"left to the host, {names} would cut the model into {len(parts)} parts, over {MOST_PARTS}"))
        return parts

    def _work(self, jobs: Jobs, number: int, part: Part, form: FormRecord, at_hand: Sequence[Tensors]) -> Json:
        """Convert and run a part on every case, and put what it made to what is at hand. Returns what the run told."""
        folder = self.folder / f"part{number}"
        with disk_errors(self.folder):
            folder.mkdir(parents=True)
            given = [folder / f"in{case}.npz" for case in range(len(at_hand))]
            for path, tensors in zip(given, at_hand, strict=True):
                write_tensors(path, {spec.name: tensors[spec.name] for spec in part.inputs})
        made = [folder / f"out{case}.npz" for case in range(len(at_hand))]
        precision = Precision.FP32 if part.hosted else self.key.precision
        model = {
            "kind": "onnx", "precision": precision.value, "path": part.path, "inputs": to_json(part.inputs),
            "outputs": to_json(part.outputs), "opset": form.opset, "samples": [str(path) for path in given],
        }  # fmt: skip
        artifact = self._ask(jobs, part, folder, "convert", form=model)
        cases = [{"name": str(n), "inputs": str(a), "outputs": str(b)} for n, (a, b) in enumerate(zip(given, made, strict=True))]
        answer = self._ask(jobs, part, folder, "run", artifact=artifact, cases=cases)
        for tensors, path in zip(at_hand, made, strict=True):
            tensors |= read_tensors(path)
            lost = [spec.name for spec in part.outputs if spec.name not in tensors]
            if lost:
                raise Stop(Finding(Stage.RUN, Outcome.FAIL, Cause.OUTPUT_STRUCTURE, f"part {number} gave no {', '.join(lost)}"))
        return answer

    def _ask(self, jobs: Jobs, part: Part, folder: Path, kind: str, **more: Json) -> Json:
        """One job for a part. What goes wrong on the host is said to be the host's."""
        target = HOST if part.hosted else self.cell.target
        payload = {
            "kind": kind,
            "adapter": registry.module_of(target.adapter),
            "target": str(target),
            "artifact_folder": str(folder / "artifact"),
            **more,
        }
        try:
            return jobs.must(payload, self.trail, target.adapter, self.bundle)
        except Stop as stop:
            said = f"on the host: {stop.finding.message}" if part.hosted else stop.finding.message
            raise Stop(replace(stop.finding, message=said)) from stop

    def _computed(self, effective: Precision) -> None:
        """Note in which precision a part was computed: one that is not what was asked for counts for all."""
        if self.effective in (None, self.cell.target.precision):
            self.effective = effective

    def _kept(self, judged: Sequence[Case], at_hand: Sequence[Tensors], form: FormRecord) -> Mapping[str, Path]:
        folder = self.folder / "outputs"
        with disk_errors(self.folder):
            folder.mkdir(parents=True)
            outputs = {case.name: folder / f"{number}.npz" for number, case in enumerate(judged)}
            for path, tensors in zip(outputs.values(), at_hand, strict=True):
                write_tensors(path, {spec.name: tensors[spec.name] for spec in form.outputs if spec.name in tensors})
        return outputs

    def _never_whole(self, finding: Finding) -> Finding:
        """Right numbers are not the target's alone, however little was left to the host."""
        if finding.outcome is not Outcome.PASS or not self.placement:
            return finding
        target, other = self.placement.target_ops or 0, self.placement.other_ops or 0
        said = f"{other} of {target + other} operators ran elsewhere than on the target; {finding.message}"
        return replace(finding, outcome=Outcome.DEGRADED, cause=Cause.FALLBACK, message=said)


def _unsupported(message: str) -> Finding:
    return Finding(Stage.CONVERT, Outcome.UNSUPPORTED, Cause.UNSUPPORTED_OP, message)


def _of_nodes(placement: Placement, part: Part) -> Placement:
    """In nodes of the file, as the host's are counted, where the backend says that it ran all of them, or none."""
    every, share = len(part.operators), placement.target_ops
    if share and placement.other_ops == 0:
        return replace(placement, target_ops=every, arithmetic=None)
    return replace(placement, arithmetic=None, other_ops=every if share == 0 else placement.other_ops)


def _joined(placements: Sequence[Placement], parts: Sequence[Part]) -> Placement:
    """What ran where over all parts; None on the target if one of its parts cannot tell."""
    ran = [placement.target_ops for placement in placements if placement.target_ops is not None]
    left = Counter(operator for part in parts if part.hosted for operator in part.operators)
    detail = Counter({f"{name} (left to the host)": count for name, count in left.items()})
    for placement in placements:
        detail.update(placement.detail)
    other = sum(placement.other_ops or 0 for placement in placements) + left.total()
    return Placement(sum(ran) if len(ran) == len(placements) else None, other, placements[0].device, dict(detail))
