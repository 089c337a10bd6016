"""Results written by hand for the tests of the reports: every outcome, every kind of evidence, several stages, hostile text."""

from __future__ import annotations

import dataclasses
import zlib
from typing import Any

from porting.diagnose.known import Known
from porting.diagnose.notes import Smallest
from porting.diagnose.unlock import blocked_cells, remedies, weights
from porting.records.diff import Change, Kind, diff
from porting.records.history import Turn
from porting.records.story import Story, walk
from porting.report import Matrix, ModelRow, TargetColumn
from porting.store.records import Verdict, moment
from porting.types import (
    CaseNumbers,
    Cause,
    Evidence,
    GenerationNumbers,
    Outcome,
    OutputNumbers,
    Perf,
    Placement,
    Result,
    Stage,
    StageTime,
)

HOSTILE_MODEL = '"><img src=x onerror=alert(1)>'
HOSTILE_MESSAGE = "</script><script>alert(2)</script> <b onmouseover=alert(3)>& | `x` \x1b[31m\u202egnp.exe"
HOSTILE_LOG = "line one\n<svg onload=alert(4)>\n]]> --> </pre></textarea><script>alert(5)</script>\n'\"`${alert(6)}"
GENERATED = "2026-11-24T09:30:00Z"
VERSIONS = {"porting": "0.1.0", "torch": "2.13.0", "onnxruntime": "1.32.0", "openvino": "2026.4.1"}

TARGETS = (
    TargetColumn("onnxruntime:cpu:fp32", Evidence.HOST),
    TargetColumn("openvino:cpu:fp32", Evidence.HOST),
    TargetColumn("openvino:cpu:bf16", Evidence.HOST),
    TargetColumn("torch:cpu:bf16", Evidence.HOST),
    TargetColumn("inductor:cpu:fp32", Evidence.HOST),
    TargetColumn("torch:cuda:fp16", Evidence.HARDWARE),
    TargetColumn(
        "torch:npu:bf16", Evidence.HARDWARE, available=False, reason="torch_npu is not installed; pip install torch_npu"
    ),
    TargetColumn("rknn:rk3588:fp16", Evidence.SIMULATOR),
    TargetColumn("acl:ascend910b:fp16", Evidence.VIRTUAL),
    TargetColumn("iree:rocm-gfx942:fp16", Evidence.COMPILED),
    TargetColumn("magicmind:mlu370:fp16", Evidence.STATIC),
)

MODELS = (
    ModelRow("transformers/qwen3", "qwen", "text-generation", "text", "Alibaba", 1_310_720),
    ModelRow("transformers/qwen3_moe", "qwen", "text-generation", "text", "Alibaba", 2_490_368),
    ModelRow("transformers/llama", "llama", "text-generation", "text", "Meta", 1_204_224),
    ModelRow("transformers/gemma3", "gemma", "text-generation", "text", "Google", 1_966_080),
    ModelRow("transformers/bert", "bert", "fill-mask", "text", "Google", 4_385_536),
    ModelRow("transformers/whisper", "whisper", "speech-recognition", "audio", "OpenAI", 3_276_800),
    ModelRow("transformers/clip", "clip", "zero-shot-classification", "text+vision", "OpenAI", 2_621_440),
    ModelRow("timm/resnet18", "resnet", "image-classification", "vision", "Microsoft", 11_689_512),
    ModelRow("timm/vit_tiny_patch16_224", "vit", "image-classification", "vision", "Google", 5_717_416),
    ModelRow("timm/swin_tiny_patch4_window7_224", "swin", "image-classification", "vision", "Microsoft", 28_288_354),
    ModelRow("diffusers/unet2d_condition", "unet", "denoising", "vision", "Stability AI", 3_768_324),
    ModelRow("silero/vad", "silero", "voice-activity-detection", "audio", "Silero", 309_633),
)

LOG = "\n".join(
    [
        "[09:29:41] reading model.onnx (opset 20, 412 nodes)",
        "[09:29:41] folding constants: 412 -> 371 nodes",
        "[09:29:42] warning: node /layers.3/attn/Where has a float64 operand, casting",
        "[09:29:44] partition 0: 369 nodes on the target, 2 nodes on the CPU",
        "[09:29:46] done",
    ]
)


def result(model: str, target: str, outcome: Outcome, evidence: Evidence | None, **fields: Any) -> Result:
    """A result with the plainest fields an outcome has; `fields` overrides."""
    values: dict[str, Any] = {
        "stage": Stage.COMPARE,
        "reproduce": f"porting check {model} --on {target}",
        **_plain(outcome),
        **fields,
    }
    return Result(model=model, target=target, outcome=outcome, evidence=evidence, **values)


def _plain(outcome: Outcome) -> dict[str, Any]:
    if outcome in (Outcome.PASS, Outcome.DEGRADED):
        return {"cases": numbers(), "stages": stages(), "seconds": 7.4, "peak_rss_bytes": 421_000_000}
    return {"message": f"made {outcome.value} by hand", "signature": f"{zlib.crc32(outcome.value.encode()) & 0xFFFFFF:06x}"}


def numbers(scale: float = 1.0) -> tuple[CaseNumbers, ...]:
    """Three cases with one output, `scale` times what a good backend shows."""
    names = {"nominal": 0.18, "other_batch": 0.21, "odd_length": 0.34, "padded": 0.26}
    return tuple(CaseNumbers(name, (output("logits", 2e-3, share * scale),)) for name, share in names.items())


def output(name: str, allowed: float, share: float, **fields: Any) -> OutputNumbers:
    """Numbers of one output that use up `share` of what is allowed."""
    values: dict[str, Any] = {
        "max_abs": allowed * share * 0.6,
        "rel_norm": allowed * share,
        "row": allowed * 3 * share * 0.8,
        "peak": allowed * 10 * share * 0.5,
        "cosine": 1 - (allowed * share) ** 2 / 2,
        "sqnr_db": 54.0,
        "allowed_rel_norm": allowed,
        "allowed_row": allowed * 3,
        "allowed_peak": allowed * 10,
        "noise_rel_norm": allowed / 4,
        "elements": 92_160,
        **fields,
    }
    return OutputNumbers(name, **values)


def stages(until: Stage = Stage.COMPARE) -> tuple[StageTime, ...]:
    """Plausible costs up to a stage."""
    costs = {
        Stage.BUILD: (0.41, 0.40, 310),
        Stage.REFERENCE: (1.62, 1.58, 352),
        Stage.EXPORT: (3.10, 3.02, 398),
        Stage.CONVERT: (1.90, 1.71, 421),
        Stage.LOAD: (0.22, 0.20, 344),
        Stage.RUN: (0.12, 0.23, 361),
        Stage.COMPARE: (0.03, 0.03, 96),
    }
    order = list(costs)
    return tuple(StageTime(s, *costs[s][:2], costs[s][2] * 10**6) for s in order[: order.index(until) + 1])


def every_kind() -> Matrix:
    """A model for every outcome and a target for every kind of evidence: each pair of them once. One cell has no record."""
    kinds = [o for o in Outcome if o is not Outcome.MISSING]
    models = tuple(ModelRow(f"kinds/{o.value}", "kinds") for o in Outcome)
    targets = tuple(TargetColumn(f"demo:{e.value}:fp32", e) for e in Evidence)
    cells = {
        (f"kinds/{o.value}", f"demo:{e.value}:fp32"): result(f"kinds/{o.value}", f"demo:{e.value}:fp32", o, e)
        for o in kinds
        for e in Evidence
    }
    return Matrix(models, targets, cells, "every kind of cell", GENERATED, VERSIONS)


def hostile() -> Matrix:
    """A model whose id, message, log and notes try to be markup."""
    target = TARGETS[0].id
    broken = result(
        HOSTILE_MODEL,
        target,
        Outcome.FAIL,
        Evidence.HOST,
        stage=Stage.CONVERT,
        cause=Cause.EXCEPTION,
        message=HOSTILE_MESSAGE,
        hint="<i>try</i> this",
        log_tail=HOSTILE_LOG,
        notes=("<u>note</u>",),
        environment={"<k>": "<v>"},
        axes={"<axis>": "dynamic"},
        placement=Placement(3, 1, "<device>", {"<partition>": 3}),
        cases=(CaseNumbers("<case>", (output("<output>", 1e-3, 0.5),)),),
        reproduce="porting check '\"><img src=x onerror=alert(1)>' --on onnxruntime:cpu:fp32",
    )
    models = (ModelRow(HOSTILE_MODEL, "<fam>", "<task>", "<modality>", "<house>", 1), ModelRow("plain/model", "plain"))
    passed = result("plain/model", target, Outcome.PASS, Evidence.HOST)
    column = dataclasses.replace(TARGETS[0], reason="<reason>")
    return Matrix(
        models,
        (column,),
        {(HOSTILE_MODEL, target): broken, ("plain/model", target): passed},
        "<title>",
        GENERATED,
        {"<p>": "<1>"},
        story=Story(
            GENERATED,
            2,
            (Change(Kind.BROKEN, HOSTILE_MODEL, target, "<detail>", passed, broken),),
            moved={"<package>": ("<old>", "<new>")},
            remedies=tuple(remedies(blocked_cells([broken], {}), weights([broken]))),
            turns={(HOSTILE_MODEL, target): Turn(GENERATED, 1, "<before>", {"<name>": ("<from>", "<to>")}, ("<because>",))},
            known_of={(HOSTILE_MODEL, target): Known("<said>", ("<operator>",), "<case>", "", ("<remedy>",), ("<command>",))},
        ),
    )


# ---- a plausible run ----------------------------------------------------------------------------------------------

FAULTS: dict[tuple[str, str], dict[str, Any]] = {
    ("transformers/qwen3_moe", "onnxruntime:cpu:fp32"): {
        "outcome": Outcome.FAIL,
        "stage": Stage.EXPORT,
        "cause": Cause.CONTROL_FLOW,
        "message": "torch.export: data-dependent branch on u0 in experts.forward\n  File modeling_qwen3_moe.py, line 231",
        "signature": "4be07a",
        "hint": "set `_experts_implementation = batched_mm` in the model's entry",
    },
    ("transformers/gemma3", "openvino:cpu:bf16"): {
        "outcome": Outcome.MISMATCH,
        "cause": Cause.TOLERANCE,
        "message": "output logits of case odd_length: row error 9.1e-02, allowed 7.2e-02",
        "signature": "c81d10",
        "cases": (
            CaseNumbers("nominal", (output("logits", 2.4e-2, 0.61),)),
            CaseNumbers("other_batch", (output("logits", 2.4e-2, 0.72),)),
            CaseNumbers("odd_length", (output("logits", 2.4e-2, 1.58),)),
            CaseNumbers("padded", (output("logits", 2.4e-2, 0.66),)),
        ),
    },
    ("timm/swin_tiny_patch4_window7_224", "openvino:cpu:bf16"): {
        "outcome": Outcome.MISMATCH,
        "cause": Cause.NONFINITE,
        "message": "output logits of case nominal: 2000 of 2000 elements are not finite where they should be",
        "signature": "77ae02",
        "cases": (
            CaseNumbers(
                "nominal",
                (
                    output(
                        "logits",
                        2e-2,
                        1,
                        max_abs=None,
                        rel_norm=None,
                        row=None,
                        peak=None,
                        cosine=-1.0,
                        sqnr_db=None,
                        nonfinite=2000,
                    ),
                ),
            ),
            CaseNumbers("other_batch", (output("logits", 2e-2, 0.4),)),
        ),
    },
    ("transformers/whisper", "inductor:cpu:fp32"): {
        "outcome": Outcome.FAIL,
        "stage": Stage.RUN,
        "cause": Cause.CRASH,
        "message": "killed by signal 11 (segmentation fault) 0.4 s after the run began",
        "signature": "09fe33",
    },
    ("diffusers/unet2d_condition", "torch:cuda:fp16"): {
        "outcome": Outcome.FAIL,
        "stage": Stage.LOAD,
        "cause": Cause.DEVICE_OOM,
        "message": "CUDA out of memory. Tried to allocate 2.50 GiB",
        "signature": "ab9912",
    },
    ("timm/resnet18", "torch:cuda:fp16"): {
        "outcome": Outcome.DEGRADED,
        "cause": Cause.FALLBACK,
        "message": "2 of 371 operators ran on the CPU: Where, NonZero",
        "signature": "e10c5d",
        "placement": Placement(369, 2, "NVIDIA H100", {"cuda": 369, "cpu": 2}),
    },
    ("transformers/llama", "openvino:cpu:bf16"): {
        "outcome": Outcome.PASS,
        "cases": numbers(),
        "generation": (
            GenerationNumbers("greedy", 2, 16, 3, 9, 4e-4, 1, 3, 7, 8, 3.1e-4, 5.2e-4, True),
            GenerationNumbers("greedy-chunked", 2, 16, 16, 11, 3e-4),
        ),
    },
    ("silero/vad", "inductor:cpu:fp32"): {
        "outcome": Outcome.INVALID,
        "stage": Stage.REFERENCE,
        "cause": Cause.VACUOUS,
        "message": "cases nominal and padded would pass as each other's answer",
        "signature": "31aa07",
    },
    ("silero/vad", "torch:cpu:bf16"): {
        "outcome": Outcome.SKIPPED,
        "stage": Stage.PLAN,
        "message": "needs more than an hour on a CPU (owner: ours)",
        "signature": "5510ee",
    },
}


def plausible() -> Matrix:
    """Twelve models on eleven targets, with the outcomes a first run has; two cells have no record."""
    cells = {(m.id, t.id): _plausible_cell(m, t) for m in MODELS for t in TARGETS}
    for absent in (("transformers/llama", "rknn:rk3588:fp16"), ("silero/vad", "rknn:rk3588:fp16")):
        del cells[absent]
    return Matrix(MODELS, TARGETS, cells, "porting report", GENERATED, VERSIONS, story=_story(list(cells.values())))


EARLIER: dict[tuple[str, str], dict[str, Any]] = {
    ("transformers/whisper", "inductor:cpu:fp32"): {"outcome": Outcome.PASS, "cause": None, "signature": None},
    ("timm/resnet18", "torch:cuda:fp16"): {"outcome": Outcome.PASS, "cause": None, "signature": None},
    ("transformers/bert", "onnxruntime:cpu:fp32"): {"outcome": Outcome.FAIL, "cause": Cause.CRASH, "cases": ()},
    ("transformers/clip", "openvino:cpu:fp32"): {"cases": numbers(0.1)},
}  # fmt: skip
"""What cells were before the last run; all others were what they are."""


def _story(results: list[Result]) -> Story:
    """Two earlier days, on the first of which half of the models were known, and the last run, which changed a few cells."""
    old_torch = {**VERSIONS, "torch": "2.12.1"}
    before = [dataclasses.replace(r, environment=old_torch, **EARLIER.get((r.model, r.target), {})) for r in results]
    runs = (("2026-11-20T09:30:00Z", before[::2]), ("2026-11-22T09:30:00Z", before), (GENERATED, results))
    verdicts = [Verdict(r.model, r.target, "", moment(at), r.outcome, r.evidence) for at, known in runs for r in known]
    old, days = walk(verdicts, moment(GENERATED))
    found = diff(before, results)
    case = Smallest("exception", "e3b0c4", ("RotaryEmbedding",), {"x": "float32[1, 1, 2, 4]"}, 142)
    rotary = [r for r in results if "RotaryEmbedding" in r.message]
    told = tuple(remedies(blocked_cells(results, {}, {(r.model, r.target): case for r in rotary}), weights(results)))
    known = {(r.model, r.target): _known(r) for r in results if r.outcome in FAULTY}
    turns = {(r.model, r.target): Turn("2026-11-20T09:30:00Z") for r in results}
    moved = {"torch": ("2.12.1", "2.13.0"), "factory": ("sha256:" + "a" * 64, "sha256:" + "b" * 64)}
    turns["transformers/whisper", "inductor:cpu:fp32"] = Turn(GENERATED, 1, "pass on host evidence", moved, ("the bundle",))
    alone = frozenset({"20261124-0930"})
    return Story(GENERATED, len(old), found.changes, 0, found.moved, tuple(days), told, alone, turns, known)


FAULTY = (Outcome.FAIL, Outcome.MISMATCH, Outcome.UNSUPPORTED)


def _known(result: Result) -> Known:
    commands = (f"porting locate {result.model} {result.target}", f"porting unlock {result.target}")
    if result.outcome is not Outcome.MISMATCH:
        return Known(commands=commands)
    blamed = ("MatMul (mismatch) at modeling_gemma3.py:287 self.q_proj(hidden_states), 2 nodes",)
    smallest = "MatMul of float32[1, 1], float32[1, 1] (139 bytes)"
    return Known("operators are wrong by themselves", blamed, smallest, "", (), commands)


def _plausible_cell(model: ModelRow, target: TargetColumn) -> Result:
    fault = FAULTS.get((model.id, target.id)) or _target_fault(model, target)
    base = result(model.id, target.id, Outcome.PASS, target.evidence)
    common: dict[str, Any] = {
        "family": model.family,
        "started": GENERATED,
        "environment": VERSIONS,
        "run": "20261124-0930",
        "bundle": "sha256:6b1f0c",
        "key": "sha256:aa30d9",
    }
    if fault is None:
        return dataclasses.replace(base, **common, **_passed(model, target))
    until = fault.get("stage", Stage.COMPARE)
    spent = stages(until) if until not in (Stage.PLAN, Stage.ENVIRONMENT) else ()
    values = {"cases": (), "stages": spent, "seconds": sum(s.seconds for s in spent), "log_tail": LOG, **common, **fault}
    if values["outcome"] is Outcome.UNAVAILABLE:
        values |= {"evidence": None, "log_tail": "", "peak_rss_bytes": 0}
    return dataclasses.replace(base, **values)


def _passed(model: ModelRow, target: TargetColumn) -> dict[str, Any]:
    share = 0.4 + zlib.crc32(f"{model.id}{target.id}".encode()) % 1000 / 450
    fields: dict[str, Any] = {"cases": numbers(share), "effective_precision": target.id.rpartition(":")[2], "log_tail": LOG}
    if target.evidence in (Evidence.COMPILED, Evidence.STATIC):
        return {"cases": (), "stages": stages(Stage.CONVERT), "stage": Stage.CONVERT, "seconds": 4.8, "log_tail": LOG}
    if target.evidence in (Evidence.HOST, Evidence.HARDWARE):
        fields["perf"] = Perf("nominal", 50, 0.0031 * share, 0.0028 * share)
    axes = {"batch": "dynamic", "sequence": "dynamic"} if model.modality == "text" else {"batch": "dynamic", "height": "static"}
    return {
        **fields,
        "axes": axes,
        "placement": Placement(371, 0, "cpu", {"CPUExecutionProvider": 371}),
        "route": ("export:strict", "onnx:20"),
    }


def _target_fault(model: ModelRow, target: TargetColumn) -> dict[str, Any] | None:
    if not target.available:
        return {
            "outcome": Outcome.UNAVAILABLE,
            "stage": Stage.ENVIRONMENT,
            "cause": Cause.MISSING_DEPENDENCY,
            "message": target.reason,
            "signature": "d0d0d0",
        }
    if target.id == "acl:ascend910b:fp16" and model.modality == "audio":
        return {
            "outcome": Outcome.UNSUPPORTED,
            "stage": Stage.CONVERT,
            "cause": Cause.UNSUPPORTED_OP,
            "message": "operator STFT is not in the list of CANN 8.2",
            "signature": "9f2c1e",
        }
    if target.id == "magicmind:mlu370:fp16" and "gen" in model.task:
        return {
            "outcome": Outcome.UNSUPPORTED,
            "stage": Stage.PLAN,
            "cause": Cause.UNSUPPORTED_OP,
            "message": "operator RotaryEmbedding is not in the list of MagicMind 1.15",
            "signature": "20bb41",
        }
    return None


def large(models: int = 1100, targets: int = 20) -> Matrix:
    """Many cells of all kinds, the same every time."""
    rows = tuple(
        ModelRow(
            f"family{n // 12:03}/model_{n:04}",
            f"family{n // 12:03}",
            "task",
            ("text", "vision", "audio")[n % 3],
            f"house{n % 7}",
            n,
        )
        for n in range(models)
    )
    evidences = list(Evidence)
    columns = tuple(TargetColumn(f"backend{n:02}:device{n % 4}:fp16", evidences[n % 6]) for n in range(targets))
    cells = {(m.id, t.id): _random_cell(m.id, t) for m in rows for t in columns}
    return Matrix(rows, columns, cells, "a large run", GENERATED, VERSIONS)


def _random_cell(model: str, target: TargetColumn) -> Result:
    draw = zlib.crc32(f"{model} {target.id}".encode())
    kinds = [Outcome.PASS] * 12 + [o for o in Outcome if o is not Outcome.MISSING]
    outcome = kinds[draw % len(kinds)]
    if outcome in (Outcome.PASS, Outcome.DEGRADED):
        return result(model, target.id, outcome, target.evidence, log_tail=LOG)
    sort = draw // 64 % 60
    message = f"reason number {sort} of this kind of trouble, in the backend's own words"
    stage = list(Stage)[3 + draw // 7 % 5]
    fields = {"cause": list(Cause)[sort % 20], "message": message, "signature": f"{sort:06x}", "stage": stage, "log_tail": LOG}
    return result(model, target.id, outcome, target.evidence, **fields)
