"""Where things lie, and file operations under adverse conditions."""

import contextlib
import errno
import hashlib
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from porting import workspace
from porting.errors import DiskError, InfrastructureError
from porting.workspace import Workspace, atomic_write, digest_bytes, digest_file, disk_errors, free_bytes, locked


@pytest.fixture(autouse=True)
def places(tmp_path, monkeypatch):
    monkeypatch.delenv("PORTING_HOME", raising=False)
    monkeypatch.setenv("PORTING_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(workspace, "_known", {})


@pytest.fixture
def closed_folder():
    """A folder that this process may not write, also when the tests run as root."""
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o555)
        root = os.geteuid() == 0
        if root:
            os.seteuid(65534)
        try:
            yield Path(name)
        finally:
            if root:
                os.seteuid(0)
            os.chmod(name, 0o755)


def old_file(path, content):
    path.write_bytes(content)
    os.utime(path, ns=(1_000_000_000, 1_000_000_000))
    return path


@pytest.fixture
def settled(monkeypatch):
    """As if every file had lain there for an hour."""
    now = time.time()
    monkeypatch.setattr(workspace.time, "time", lambda: now + 3600)


# ---- where things lie -----------------------------------------------------------------------------------------------


def test_state_lies_beside_the_nearest_porting_toml(tmp_path):
    (tmp_path / "porting.toml").touch()
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    found = Workspace.find(inner)
    assert (found.root, found.state, found.config) == (tmp_path, tmp_path / ".porting", tmp_path / "porting.toml")


def test_without_porting_toml_state_lies_in_the_current_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = Workspace.find()
    assert (found.state, found.config) == (tmp_path / ".porting", None)
    assert found.store.parent == found.state


def test_porting_home_is_the_state_folder_where_it_is_set(tmp_path, monkeypatch):
    monkeypatch.setenv("PORTING_HOME", str(tmp_path / "elsewhere"))
    assert Workspace.find(tmp_path).state == tmp_path / "elsewhere"


def test_cache_is_the_users_cache_folder_unless_named(tmp_path, monkeypatch):
    assert Workspace.find(tmp_path).cache == tmp_path / "cache"
    monkeypatch.delenv("PORTING_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Workspace.find(tmp_path).cache.name == "porting"
    assert tmp_path in Workspace.find(tmp_path).cache.parents


def test_finding_creates_nothing_and_preparing_creates_every_folder(tmp_path):
    found = Workspace.find(tmp_path)
    assert list(tmp_path.iterdir()) == []
    found.prepare().prepare()
    assert all(folder.is_dir() for folder in (found.state, found.bundles, found.runs, found.workers))
    assert (found.state / ".gitignore").read_text() == "*\n"


# ---- writing --------------------------------------------------------------------------------------------------------


def test_a_write_replaces_the_file_and_leaves_nothing_beside_it(tmp_path):
    path = tmp_path / "deep" / "file"
    for content in (b"first", b"second"):
        atomic_write(path, content)
    assert path.read_bytes() == b"second"
    assert list(path.parent.iterdir()) == [path]


def test_a_write_that_fails_keeps_the_old_file_and_leaves_nothing_beside_it(tmp_path, monkeypatch):
    path = tmp_path / "file"
    atomic_write(path, b"old")

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(workspace.os, "replace", full)
    with pytest.raises(DiskError, match=r"no space left for .*file .*MiB free.* Free some space"):
        atomic_write(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_disk_that_is_really_full_is_one_clear_error():
    if not Path("/dev/full").exists():
        pytest.skip("/dev/full is not here")
    with pytest.raises(DiskError, match="no space left"), disk_errors(Path("/dev/full")), open("/dev/full", "wb") as file:
        file.write(b"x")


def test_a_read_only_folder_is_one_clear_error(closed_folder):
    with pytest.raises(DiskError, match=r"cannot write .*permission denied.* Make it writable") as caught:
        atomic_write(closed_folder / "file", b"x")
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 3
    with pytest.raises(DiskError), locked(closed_folder / "file"):
        pass


def test_a_path_through_a_file_or_onto_a_folder_is_one_clear_error(tmp_path):
    (tmp_path / "file").touch()
    for path in (tmp_path / "file" / "a", tmp_path / "file" / "a" / "b", tmp_path, tmp_path / ("n" * 300)):
        with pytest.raises(DiskError, match="cannot write"):
            atomic_write(path, b"x")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_other_operating_system_errors_pass_through(tmp_path):
    with pytest.raises(FileNotFoundError), disk_errors(tmp_path):
        (tmp_path / "absent").read_bytes()


def test_free_bytes_of_a_folder_that_does_not_exist_yet_are_those_of_its_disk(tmp_path):
    assert free_bytes(tmp_path / "a" / "b") == pytest.approx(free_bytes(tmp_path), rel=0.05)
    assert free_bytes(tmp_path) > 0


# ---- locks ----------------------------------------------------------------------------------------------------------

HOLD = """
import sys
from pathlib import Path
from porting.workspace import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextlib.contextmanager
def held_elsewhere(path):
    with subprocess.Popen([sys.executable, "-c", HOLD, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"held\n"
        yield process


def test_a_lock_keeps_another_process_out_and_says_so(tmp_path):
    path = tmp_path / "thing"
    refused = pytest.raises(InfrastructureError, match=r"another process has been using .*thing")
    with held_elsewhere(path), refused, locked(path, timeout=0.1):
        pytest.fail("entered while another process held the lock")
    with locked(path, timeout=5):
        pass


def test_a_lock_is_free_again_when_its_holder_was_killed(tmp_path):
    path = tmp_path / "thing"
    with held_elsewhere(path) as process:
        process.kill()
        process.wait()
        with locked(path, timeout=5):
            pass


# ---- digests --------------------------------------------------------------------------------------------------------


def test_a_digest_is_the_sha256_of_the_content(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"abc" * 1_000_000)
    expected = "sha256:" + hashlib.sha256(b"abc" * 1_000_000).hexdigest()
    assert digest_file(path) == digest_bytes(b"abc" * 1_000_000) == expected


def test_a_large_file_is_hashed_once_for_all_processes(tmp_path, settled, monkeypatch):
    path = old_file(tmp_path / "file", bytes(1 << 20))
    first = digest_file(path)
    workspace._known.clear()  # as in the next process
    monkeypatch.setattr(workspace, "_hash", lambda _: pytest.fail("hashed again"))
    assert digest_file(path) == first


@pytest.mark.parametrize("size", [10, 1 << 20])
def test_other_content_of_the_same_size_and_modification_time_is_noticed(tmp_path, settled, size):
    path = old_file(tmp_path / "file", bytes(size))
    first = digest_file(path)
    time.sleep(0.02)  # one tick of the file system's clock
    old_file(path, b"x" * size)
    assert digest_file(path) != first == digest_bytes(bytes(size))


def test_a_file_that_was_just_written_is_hashed_every_time(tmp_path):
    path = tmp_path / "file"
    for content in (b"a" * (1 << 20), b"b" * (1 << 20)):
        path.write_bytes(content)
        assert digest_file(path) == digest_bytes(content)
    assert workspace._known == {}


def test_a_damaged_note_is_no_harm(tmp_path, settled):
    path = old_file(tmp_path / "file", bytes(1 << 20))
    first = digest_file(path)
    (note,) = (tmp_path / "cache" / "digests").iterdir()
    note.write_bytes(b"{")
    workspace._known.clear()
    assert digest_file(path) == first


def test_a_cache_folder_that_cannot_be_written_is_no_harm(tmp_path, settled, monkeypatch):
    path = old_file(tmp_path / "file", bytes(1 << 20))
    monkeypatch.setenv("PORTING_CACHE", str(path / "cache"))
    assert digest_file(path) == digest_bytes(bytes(1 << 20))
