"""Where the version of a card's driver is found, and when it is part of a result's environment."""

from __future__ import annotations

from pathlib import Path

import pytest

from porting.adapter import DeviceState, Probe
from porting.environments.probing import DRIVERS, _cards, drivers


@pytest.mark.parametrize(
    ("text", "version"),
    [("550.54.15\n", "550.54.15"), ("Version=24.1.rc2\nascendhal_version=7.35.19\n", "24.1.rc2"), ("", None)],
)
@pytest.mark.parametrize("name", DRIVERS)
def test_a_driver_tells_its_version(name: str, text: str, version: str | None, tmp_path: Path) -> None:
    assert drivers(tmp_path) == {}
    place = tmp_path / DRIVERS[name]
    place.parent.mkdir(parents=True)
    place.write_text(text)
    assert drivers(tmp_path) == ({name: version} if version else {})


def test_only_what_is_a_card_has_a_driver() -> None:
    probe = Probe({"cpu": DeviceState(True), "cuda": DeviceState(False), "npu": DeviceState(True)}, {})
    assert _cards("torch", probe) == [DeviceState(False), DeviceState(True)]
    assert _cards("openvino", Probe({"cpu": DeviceState(True)}, {})) == []
