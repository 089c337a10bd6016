"""What the tests of the gate share: one model, faults that it is run on, expectation files."""

from __future__ import annotations

from pathlib import Path

MODEL = "mine/narrow"
FAULTS = ("none", "sign", "raises", "run_segfault", "refuses", "partial", "fallback", "flood", "chip-whole")
ON = ",".join(f"faulty:{fault}:fp32" for fault in FAULTS)
TOML = '[[models]]\nid = "mine/narrow"\nsource = "factory"\nname = "small_models:narrow"\n'
ABSENT = "onnxruntime:cuda:fp32"
"""A target that is not here."""


def entry(outcome: str, *more: str, models: str = MODEL) -> str:
    owned = ["reason = 'known'", "owner = 'upstream'"] if outcome != "pass" else []
    return "\n".join(["[[expect]]", f"models = ['{models}']", f"outcome = '{outcome}'", *owned, *more, ""])


def write(folder: Path, target: str, text: str) -> Path:
    path = folder / "expect" / f"{target.replace(':', '-')}.toml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path
