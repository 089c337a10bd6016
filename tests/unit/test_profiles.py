"""What is known of makers of accelerators: the data has sources, and a broken profile says where it is broken."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from porting.accelerators import profile, toml
from porting.accelerators.profile import Profile, ProfileError, find, load, read

BRANDS = (
    "ascend", "cambricon", "moore_threads", "hygon", "metax", "iluvatar", "kunlunxin", "enflame", "biren", "tsingmicro",
    "sunrise", "rockchip", "sophgo",
)  # fmt: skip
GOOD = 'vendor = "Someone"\n[torch]\ndevice = "some"\nplugin = "torch_some"\nsource = "a file"\ndate = 2026-01-01\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "someone").mkdir()
    (tmp_path / "someone" / profile.FILE).write_text(GOOD)
    return tmp_path / "someone"


def test_every_brand_has_a_profile() -> None:
    assert set(BRANDS) <= set(load())


@pytest.mark.parametrize("name", sorted(load()))
def test_a_profile_tells_how_the_device_is_reached_or_by_which_stack(name: str) -> None:
    found = load()[name]
    assert found.torch or found.stack
    if found.torch:
        assert found.operators, "whether there is a list of operators has to be said"
        assert found.operators.list or found.operators.none


@pytest.mark.parametrize("name", sorted(load()))
def test_every_fact_has_a_source_that_a_reader_can_find(name: str) -> None:
    found = load()[name]
    tables = [t for t in (found.torch, found.recognise, found.tool, found.dtypes, found.operators, found.onnx, found.stack) if t]
    for table in [*tables, *found.cards]:
        assert len(table.source) > 10
        assert not table.source.startswith(("/", "file:"))


def test_makers_whose_builds_answer_to_cuda_can_be_told_apart() -> None:
    shims = [p for p in load().values() if p.torch and p.torch.device == "cuda"]
    assert len(shims) >= 6
    assert all(p.recognise for p in shims)


def test_a_maker_is_found_by_its_names() -> None:
    for name in ("ascend", "npu", "torch_npu", "Huawei Ascend", "NPU"):
        found = find(name)
        assert found is not None
        assert found.name == "ascend"
    assert find("cuda") is None, "several makers answer to it"
    assert find("abacus") is None


def test_a_centres_own_profile_replaces_the_built_in_one(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder.parent / "ascend").mkdir()
    (folder.parent / "ascend" / profile.FILE).write_text(GOOD)
    monkeypatch.setenv(profile.FOLDER_VARIABLE, str(folder.parent))
    assert load()["ascend"].vendor == "Someone"
    assert "someone" in load()
    monkeypatch.setenv(profile.FOLDER_VARIABLE, str(folder.parent / "nowhere"))
    with pytest.raises(ProfileError, match="no folder"):
        load()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("vendor = 1\n", "vendor is missing"),
        ("vendor = 'a'\n[colour]\n", "colour is not known"),
        ("vendor = 'a'\n[tool]\ncommand = 'x'\n", r"\[tool\] has no source and no date"),
        ("vendor = 'a'\n[tool]\nsource = 'x'\ndate = 2026-01-01\nflavour = 1\n", "flavour"),
        ("vendor = 'a'\n[operators]\nlist = 'none.txt'\nsource = 'x'\ndate = 2026-01-01\n", "not beside it"),
        ("vendor = \n", "cannot be read"),
    ],
)
def test_a_broken_profile_says_where(folder: Path, text: str, said: str) -> None:
    (folder / profile.FILE).write_text(text)
    with pytest.raises(ProfileError, match=said) as raised:
        read(folder)
    assert str(folder / profile.FILE) in str(raised.value)


def test_toml_is_read_where_python_has_no_reader_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tomllib", None)
    monkeypatch.setitem(sys.modules, "tomli", None)
    assert toml.loads("a = 1") == {"a": 1}, "pip carries one"
    monkeypatch.setitem(sys.modules, "pip._vendor.tomli", None)
    with pytest.raises(toml.NoReader, match="install tomli"):
        toml.loads("a = 1")


def test_a_profile_with_a_list_has_the_device_to_hold_it_against() -> None:
    listed: list[Profile] = [p for p in load().values() if p.listed]
    assert {p.name for p in listed} >= {"ascend", "cambricon", "moore_threads"}
    for p in listed:
        assert p.torch
        assert p.operators
        assert p.operators.otherwise in ("cpu", "error")
        assert p.operators.forbid or p.operators.otherwise == "error"
