"""What was seen of a backend is data, and readable for every built-in adapter."""

from __future__ import annotations

from pathlib import Path

import pytest

from porting import registry
from porting.errors import PortingError
from porting.registry.quirks import quirks

BUILT_IN = [name for name in registry.names() if registry.is_built_in(name)]


@pytest.mark.parametrize("name", BUILT_IN)
def test_quirks_say_what_where_with_which_version_and_what_comes_of_it(name: str) -> None:
    for quirk in quirks(name):
        assert quirk.where
        assert quirk.symptom
        assert quirk.answer
        assert quirk.seen[0].isdigit(), "a symptom without a version helps nobody"


def test_a_backend_that_is_known_to_lie_says_so() -> None:
    assert any("replaced by the CPU" in quirk.symptom for quirk in quirks("onnxruntime"))


@pytest.mark.parametrize("text", ["[[quirk]]\nseen = 1\nother = 2\n", "quirk = ", "[table]\n"])
def test_a_file_of_another_form_is_refused_with_its_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    (tmp_path / "quirks.toml").write_text(text)
    monkeypatch.setattr(registry, "folder", lambda _: tmp_path)
    with pytest.raises(PortingError, match=r"quirks\.toml is no list of quirks"):
        quirks("any")


def test_an_adapter_without_the_file_has_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "folder", lambda _: tmp_path)
    assert quirks("any") == ()
    monkeypatch.setattr(registry, "folder", lambda _: None)
    assert quirks("any") == ()


def test_a_quirk_is_no_part_of_what_results_depend_on(tmp_path: Path) -> None:
    assert not registry._decides_results(tmp_path / "quirks.toml")
