"""What the tests of the store share: results to store, exports and imports in memory, work in a forked process."""

import dataclasses
import io
import json
import os
import traceback

from porting.serialization import to_json
from porting.types import CaseNumbers, Cause, Evidence, Outcome, OutputNumbers, Placement, Result, Stage, StageTime

MODEL, TARGET = "transformers/qwen3", "openvino:cpu:fp16"


def result(number=0, **fields):
    """A whole result; a later number started later."""
    cases = tuple(CaseNumbers(name, (OutputNumbers("logits", 2.1e-4, 3.9e-4, sqnr_db=68.1),)) for name in ("nominal", "mask"))
    base = Result(
        MODEL, TARGET, Stage.COMPARE, Outcome.PASS, evidence=Evidence.HOST, route=("export:strict",), cases=cases,
        axes={"batch": "dynamic"}, placement=Placement(139, 0, "CPU", {"CPU": 139}),
        stages=(StageTime(Stage.CONVERT, 1.9, 1.7, 421000000),), environment={"openvino": "2026.4.1"}, key=f"key{number}",
        run="run1", family="transformers", started=f"2026-11-24T09:{number // 60 % 60:02}:{number % 60:02}.000001Z",
        seconds=12.5, peak_rss_bytes=421000000,
    )  # fmt: skip
    return dataclasses.replace(base, **fields)


def failed(number=0, **fields):
    return result(number, outcome=Outcome.FAIL, stage=Stage.CONVERT, cause=Cause.CRASH, signature="9f2c1e", **fields)


def line(value):
    """A line as a careless writer makes it: not canonical."""
    return json.dumps(to_json(value), indent=None, ensure_ascii=False).encode() + b"\n"


def exported(store, **options):
    stream = io.BytesIO()
    store.export_jsonl(stream, **options)
    return stream.getvalue()


def imported(store, content, name="input"):
    return store.import_jsonl(io.BytesIO(content), name)


def in_child(work):
    """Run `work` in a forked process; returns its id. The child ends with status 1 when `work` raises."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        work()
        status = 0
    except BaseException:  # noqa: BLE001  a forked process may not go on into the rest of the tests
        traceback.print_exc()
    finally:
        os._exit(status)


def ended_well(children):
    return [os.waitpid(child, 0)[1] for child in children] == [0] * len(children)
