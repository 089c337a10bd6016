"""Rules for ast-grep that ask of each file what porting scan asks of it, made from the tables that porting scan reads:

    python benchmarks/source_anchor_rules.py > rules.yml

A rule a name of torch.cuda, a tensor type, a package, a kind of place where a device's name stands. What needs the meaning of
names, types or other files has no rule there: it cannot be said in a pattern.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

from porting.codemod import words
from porting.codemod.finding import table

TYPES = [
    f"{dtype}{what}"
    for dtype in ["Float", "Double", "Half", "BFloat16", "Byte", "Char", "Short", "Int", "Long", "Bool"]
    for what in ("Tensor", "Storage")
]
DEVICE = {"kind": "string", "regex": r"""^[rRuU]?["']cuda(:\d*)?["']$"""}
NCCL = {"kind": "string", "regex": r"""^["']nccl["']$"""}
PLACES = ("comparison_operator", "conditional_expression", "keyword_argument", "argument_list", "assignment", "default_parameter",
          "typed_default_parameter", "return_statement", "pair", "subscript", "list", "tuple", "set", "boolean_operator",
          "binary_operator")  # fmt: skip
"""Kinds of the nodes right above a device's name that porting scan tells apart."""
Rule = dict[str, Any]


def patterns(*texts: str) -> Rule:
    return {"any": [{"pattern": text} for text in texts]}


def python() -> Iterator[tuple[str, Rule]]:
    """What is looked for in Python, by name."""
    api = table("api")
    for name in [n for group in ("safe", "care", "capability", "architecture") for n in api[group]] + TYPES:
        yield f"cuda.{name}", brought("torch.cuda", name)
    for part in ("amp", "nvtx"):
        for name in api[part]:
            yield f"cuda.{part}.{name}", brought(f"torch.cuda.{part}", name)
    yield "cuda", {"pattern": "torch.cuda"}
    yield (
        "cudnn",
        patterns(
            "torch.backends.cudnn.$X", "torch.backends.cuda.$X", "torch.backends.cuda.$X.$Y", "cudnn.$X", "torch.version.cuda"
        ),
    )
    yield "method", {"pattern": "$X.cuda($$$)"}
    yield "is_cuda", {"pattern": "$X.is_cuda"}
    yield (
        "load",
        {"pattern": "torch.load($$$A)", "not": {"has": {"kind": "keyword_argument", "regex": "^map_location", "stopBy": "end"}}},
    )
    yield "parallel", patterns("torch.nn.DataParallel($$$)", "nn.DataParallel($$$)", "DataParallel($$$)")
    for kind in PLACES:
        yield f"device.{kind}", {"all": [DEVICE, {"inside": {"kind": kind}}]}
        yield f"nccl.{kind}", {"all": [NCCL, {"inside": {"kind": kind}}]}
    yield "device.built", {"kind": "string", "regex": r"""^[fF]?["']cuda:(\{|%)"""}
    yield "type.string", {"kind": "string", "regex": r"""^["']torch\.cuda\."""}
    yield "variable", {"kind": "string_content", "regex": f"^({words.VARIABLE.pattern})$"}
    yield "tool", {"kind": "string_content", "regex": f"^({words.TOOL.pattern})"}
    yield "kernel.string", {"kind": "string_content", "regex": "__global__"}
    yield "triton", {"kind": "decorator", "regex": r"^@triton\.jit"}
    yield "ptx", patterns("$X.inline_asm_elementwise($$$)")
    yield "grid", {"pattern": "$F[$$$G]($$$A)"}
    yield "build", patterns("CUDAExtension($$$)", "load_inline($$$)", "cpp_extension.load($$$)")
    yield (
        "guard",
        {"kind": "if_statement", "has": {"pattern": "torch.cuda.is_available()", "field": "condition", "stopBy": "end"}},
    )
    for package in words.packages():
        names = package.replace(".", r"\.")
        yield (
            f"package.{package}",
            {"any": [{"kind": "import_statement"}, {"kind": "import_from_statement"}], "regex": rf"^(import|from) {names}\b"},
        )


def brought(module: str, name: str) -> Rule:
    """A name of a module, in full, under the alias that is common, and imported."""
    imported = {"kind": "import_from_statement", "regex": rf"^from {module} import (.*\W)?{name}\b"}
    return {"any": [{"pattern": f"{module}.{name}"}, {"pattern": f"{module.replace('torch', 'th', 1)}.{name}"}, imported]}


def others() -> Iterator[tuple[str, str, Rule]]:
    """What is looked for in C++ and in files that are no programs: language, name, rule."""
    yield "cpp", "kernel", {"kind": "function_definition", "regex": "__global__"}
    yield "cpp", "ptx", {"kind": "gnu_asm_expression"}
    value = r"""^["']?(cuda(:\d+)?|nccl)["']?$"""
    yield "yaml", "device", {"kind": "flow_node", "regex": value}
    yield "json", "device", {"kind": "string", "regex": value}
    for language, kind in (("yaml", "flow_node"), ("json", "string"), ("bash", "word")):
        for name, pattern in (("variable", words.VARIABLE), ("tool", words.TOOL), ("image", words.IMAGE)):
            yield language, name, {"kind": kind, "regex": pattern.pattern}
    yield "bash", "variable.set", {"kind": "variable_name", "regex": words.VARIABLE.pattern}


def rules() -> list[Rule]:
    """All of them, as ast-grep takes them."""
    every = [("python", name, rule) for name, rule in python()] + list(others())
    return [{"id": f"{language}.{name}", "language": language, "message": name, "rule": rule} for language, name, rule in every]


if __name__ == "__main__":
    sys.stdout.write("\n---\n".join(map(json.dumps, rules())) + "\n")
