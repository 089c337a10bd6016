"""The files of a run over HTTP: what has no key gets and changes nothing, and a bundle travels whole."""

from __future__ import annotations

import hashlib
import http.client
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from porting.errors import BundleError, InfrastructureError
from porting.launch import remote
from porting.launch.remote import Remote
from porting.launch.serve import Served, served

KEY = "abcdef0123456789"


@pytest.fixture
def place(tmp_path: Path) -> Iterator[str]:
    (tmp_path / "run" / "slices").mkdir(parents=True)
    (tmp_path / "run" / "slices" / "s0-0.json").write_bytes(b"{}")
    (tmp_path / "run.json").write_bytes(b"secret")
    with served("127.0.0.1", Served(tmp_path / "run", tmp_path / "bundles", "k" * 64)) as url:
        yield url


@pytest.fixture
def there(place: str) -> Remote:
    return Remote(place, "k" * 64)


def bundle_in(folder: Path, content: bytes = b"weights") -> Path:
    (folder / "cases").mkdir(parents=True)
    (folder / "model.bin").write_bytes(content)
    (folder / "cases" / "a b.npz").write_bytes(b"inputs")
    files = {str(p.relative_to(folder)): f"sha256:{hashlib.sha256(p.read_bytes()).hexdigest()}" for p in folder.rglob("*.*")}
    about = {"model": "m", "reference": "eager", "files": files}
    (folder / "bundle.json").write_text(json.dumps(about))
    return folder


def test_a_node_reads_its_slice_and_leaves_its_results(there: Remote, tmp_path: Path) -> None:
    assert there.read("slices/s0-0.json") == b"{}"
    there.write("results/0-s0-0.jsonl", b"result")
    assert (tmp_path / "run" / "results" / "0-s0-0.jsonl").read_bytes() == b"result"
    with pytest.raises(FileNotFoundError):
        there.read("slices/other.json")


@pytest.mark.parametrize("name", ["../run.json", "slices/../../run.json", ".part"])
def test_nothing_beside_the_run_is_read(there: Remote, name: str) -> None:
    with pytest.raises(FileNotFoundError):
        there.read(name)


@pytest.mark.parametrize("name", ["slices/s0-0.json", "run.json", "../x", "results/../../x"])
def test_nodes_write_only_results_facts_and_states(there: Remote, tmp_path: Path, name: str) -> None:
    with pytest.raises(InfrastructureError, match="does not take"):
        there.write(name, b"changed")
    assert (tmp_path / "run" / "slices" / "s0-0.json").read_bytes() == b"{}"
    assert not (tmp_path / "x").exists()
    assert not (tmp_path / "run" / "run.json").exists()


def test_who_has_no_key_gets_nothing(place: str, tmp_path: Path) -> None:
    with pytest.raises(InfrastructureError, match="does not take"):
        Remote(place, KEY).write("results/0-s0-0.jsonl", b"forged")
    assert not (tmp_path / "run" / "results").exists()
    with pytest.raises(FileNotFoundError):
        Remote(place, KEY).read("slices/s0-0.json")
    connection = http.client.HTTPConnection(place.removeprefix("http://"))
    connection.request("GET", "/depot/slices/s0-0.json")
    assert connection.getresponse().status == 403
    connection.close()


def test_an_answer_of_somebody_else_is_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "PATIENCE_SECONDS", 0.0)
    (tmp_path / "bundles").mkdir()
    monkeypatch.setattr("porting.launch.serve._Handler._is_signed", lambda *_: True)
    (tmp_path / "slices").mkdir()
    (tmp_path / "slices" / "x").write_bytes(b"forged")
    other = Served(tmp_path, tmp_path / "bundles", "other")
    with served("127.0.0.1", other) as url, pytest.raises(InfrastructureError, match="not signed"):
        Remote(url, KEY).read("slices/x")


def test_a_bundle_that_one_node_made_gets_to_another_and_a_third_waits_for_it(
    there: Remote, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "WAIT_SECONDS", 0.05)
    key = "0123456789abcdef"
    assert not there.fetch(key, tmp_path / "first"), "the first node is to make it"
    came: list[bool] = []
    waiting = threading.Thread(target=lambda: came.append(there.fetch(key, tmp_path / "second" / key)))
    waiting.start()
    there.share(key, bundle_in(tmp_path / "made"))
    waiting.join(20)
    assert came == [True]
    for name in ("model.bin", "cases/a b.npz", "bundle.json"):
        assert (tmp_path / "second" / key / name).read_bytes() == (tmp_path / "made" / name).read_bytes()
    there.share(key, bundle_in(tmp_path / "other", b"others"))
    assert (tmp_path / "bundles" / key / "model.bin").read_bytes() == b"weights", "what is there stays"


def test_a_bundle_that_does_not_have_the_digests_it_names_is_refused(there: Remote, tmp_path: Path) -> None:
    key = "0123456789abcdef"
    damaged = bundle_in(tmp_path / "bundles" / key)
    (damaged / "model.bin").write_bytes(b"changed")
    with pytest.raises(BundleError, match=r"model\.bin has changed"):
        there.fetch(key, tmp_path / "here")
