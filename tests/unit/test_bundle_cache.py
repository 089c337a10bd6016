"""The cache stays within its limit, and nothing that is in use goes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from porting.bundles import cache
from porting.cells import keys
from porting.errors import UsageError
from porting.sources import NAMES
from porting.workspace import locked

KILOBYTES = 64
HOLD = """
import sys, time
from pathlib import Path
from porting.bundles.cache import InUse
held = InUse()
held.take(Path(sys.argv[1]))
print("held", flush=True)
time.sleep(60)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four bundles of equal size, `a` used longest ago."""
    for age, name in enumerate("dcba"):
        bundle = tmp_path / name
        bundle.mkdir()
        (bundle / "weights").write_bytes(os.urandom(KILOBYTES << 10))
        os.utime(bundle, (1e9 - age, 1e9 - age))
    (tmp_path / "a.lock").touch()
    return tmp_path


def names(folder: Path) -> list[str]:
    return [held.path.name for held in cache.bundles(folder)]


def test_those_used_longest_ago_go_first_and_only_as_many_as_it_takes(folder: Path) -> None:
    one = cache.bundles(folder)[0].size
    assert one >= KILOBYTES << 10
    removed = cache.prune(folder, 2 * one)
    assert [held.path.name for held in removed] == ["a", "b"]
    assert names(folder) == ["c", "d"]
    assert cache.prune(folder, 2 * one) == []


def test_a_bundle_taken_again_is_the_last_to_go(folder: Path) -> None:
    held = cache.InUse()
    held.take(folder / "a")
    held.release(folder / "a")
    assert names(folder) == ["b", "c", "d", "a"]


def test_what_this_process_uses_stays_until_it_is_released(folder: Path) -> None:
    held = cache.InUse()
    held.take(folder / "a")
    held.take(folder / "b")
    cache.prune(folder, 0)
    assert sorted(names(folder)) == ["a", "b"]
    held.release(folder / "a")
    cache.prune(folder, 0)
    assert names(folder) == ["b"]
    held.close()
    cache.prune(folder, 0)
    assert names(folder) == []


def test_what_another_process_uses_stays_until_it_is_killed(folder: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLD, str(folder / "a")], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        cache.prune(folder, 0)
        assert names(folder) == ["a"]
        process.send_signal(signal.SIGKILL)
    cache.prune(folder, 0)
    assert names(folder) == []


def test_a_bundle_being_made_stays(folder: Path) -> None:
    with locked(folder / "b"):
        cache.prune(folder, 0)
    assert names(folder) == ["b"]


@pytest.mark.parametrize(("text", "size"), [("20G", 20 << 30), ("1.5 MB", 3 << 19), ("512kib", 512 << 10), ("7", 7), ("0", 0)])
def test_a_limit_is_a_number_with_a_unit(folder: Path, monkeypatch: pytest.MonkeyPatch, text: str, size: int) -> None:
    monkeypatch.setenv(cache.LIMIT_VARIABLE, text)
    assert cache.limit_of(folder, ()) == size


@pytest.mark.parametrize("text", ["much", "-1", "3 X", "G"])
def test_a_limit_that_is_none_is_a_clear_error(folder: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv(cache.LIMIT_VARIABLE, text)
    with pytest.raises(UsageError, match=cache.LIMIT_VARIABLE):
        cache.limit_of(folder, ())


def test_without_a_limit_half_of_the_room_there_is_may_be_taken(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(cache.LIMIT_VARIABLE, raising=False)
    held = cache.bundles(folder)
    more = cache.limit_of(folder, [*held, cache.Held(folder, 100 << 30, 0.0)]) - cache.limit_of(folder, held)
    assert abs(more - (50 << 30)) < 1 << 30  # others write to the disk meanwhile


def test_a_bundle_depends_on_the_code_of_its_own_source_alone() -> None:
    code = {name: set(keys._source_code(name)) for name in NAMES}
    assert "sources/_transformers_shrink" in code["transformers"]
    assert "sources/timm_name" in code["timm"]
    assert not code["timm"] & {"sources/transformers_config", "sources/_transformers_shrink", "sources/diffusers_class"}
    assert {"sources/timm_name", "sources/transformers_config", "sources/factory"} <= code["checkpoint"]
