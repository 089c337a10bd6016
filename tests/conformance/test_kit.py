"""The suite in an interpreter without torch: it reads a kit, and finds there what it would have made."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "example_adapter" / "src"))

from onnx_reference_adapter.adapter import OnnxReferenceAdapter

from porting.conformance import kit, models
from porting.types import Precision


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("kit")
    kit.write(OnnxReferenceAdapter, folder)
    return folder


def test_forms_come_back_with_their_files(written: Path) -> None:
    form = kit.form(written, models.mixed(), OnnxReferenceAdapter.need, Precision.FP32)
    assert form.path.is_file()
    assert [spec.name for spec in form.inputs] == ["input_ids", "mask/keep:0", "past_key_values.0.key"]
    assert form.sample()["input_ids"].shape == (2, 5)


def test_answers_are_eagers_at_every_size(written: Path) -> None:
    model = models.mixed()
    for sizes in (models.NOMINAL, *models.OTHERS):
        inputs = model.draw(sizes)
        found, expected = kit.answers(written, model, inputs), model.eager(inputs)
        assert found.keys() == expected.keys()
        assert all(np.array_equal(found[name], expected[name]) for name in expected)


def test_what_is_not_in_it_fails_loudly(written: Path) -> None:
    model = models.mixed()
    with pytest.raises(ValueError, match="mixed"):
        kit.answers(written, model, model.draw(models.NOMINAL, seed=99))
    with pytest.raises(OSError, match="pt2"):
        kit.form(written, model, replace(OnnxReferenceAdapter.need, kind="pt2"), Precision.FP32)
