"""Errors are light, and what a cell comes to that meets one is a word that results know."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

import porting.bundles.onnx_reference
import porting.rewrites.prove  # noqa: F401 -- it has errors of its own
from porting.errors import PortingError
from porting.types import Cause, Outcome
from porting.workers.worker import classify


def kin(kind: type[PortingError]) -> Iterator[type[PortingError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from kin(child)


KINDS = sorted(set(kin(PortingError)), key=str)


@pytest.mark.parametrize("kind", KINDS, ids=[kind.__name__ for kind in KINDS])
def test_what_a_cell_comes_to_is_an_outcome_and_a_cause(kind: type[PortingError]) -> None:
    outcome, cause = classify(kind.__new__(kind), None)
    assert isinstance(outcome, Outcome)
    assert isinstance(cause, Cause)
    assert (outcome.value, cause.value) == kind.verdict


def test_scanning_starts_without_what_only_models_and_makers_need() -> None:
    code = (
        "import sys, contextlib\nfrom porting.cli import run\nassert run(['scan', sys.argv[1]]) == 0\n"
        "print(sorted({'porting.types', 'porting.accelerators.profile', 'porting.codemod.targets'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code, __file__], capture_output=True, text=True, timeout=120)
    assert done.stdout.splitlines()[-1] == "[]", done.stdout + done.stderr
