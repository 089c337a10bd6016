"""Results between centres: what was signed comes in as it was, from whom it was, or not at all."""

from __future__ import annotations

import lzma
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from cli_kit import Run

from porting.store import Store
from porting.types import Outcome, Result, Stage

pytest.importorskip("cryptography", reason="pip install 'porting[signing]'")
RESULT = Result(
    "m", "a:cpu:fp32", Stage.COMPARE, Outcome.PASS, key="k", run="r", started="2026-11-28T10:00:00Z", message="on node-17"
)


def make_key(name: str) -> Path:
    """A key as a person makes one; its public half lies beside it."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", name], check=True)
    return Path(name)


@pytest.fixture
def signed(porting: Run, setting: Path) -> Path:
    """An export of two results, signed by north."""
    make_key("north")
    with Store.open("north.db") as store:
        store.append(RESULT, b"a log")
        store.append(replace(RESULT, target="b:cpu:fp32"))
    assert porting("results", "export", "north.jsonl", "--sign", "north", "--store", "north.db").code == 0
    return Path("north.jsonl")


def test_what_a_trusted_centre_signed_comes_in_and_says_whose_it_is(porting: Run, signed: Path) -> None:
    ended = porting("results", "import", signed, "--verify", "north.pub", "--store", "hub.db")
    assert (ended.code, ended.out.strip()) == (0, "2 new results, 0 known already, signed by north")
    assert "0 new results, 2 known already" in porting("results", "import", signed, "--store", "hub.db").out
    assert porting("results", "export", "--sign", "north", "--store", "hub.db").out.encode() == signed.read_bytes(), (
        "the same bytes"
    )


def test_exports_of_two_centres_merge_to_the_same_whichever_comes_first(porting: Run, signed: Path) -> None:
    with Store.open("south.db") as store:
        store.append(replace(RESULT, outcome=Outcome.MISMATCH, started="2026-11-28T11:00:00Z"))
        store.append(replace(RESULT, target="b:cpu:fp32"))
    assert porting("results", "export", "south.jsonl", "--store", "south.db").code == 0
    for hub, files in (("one.db", (signed, "south.jsonl")), ("two.db", ("south.jsonl", signed, signed))):
        for file in files:
            assert porting("results", "import", file, "--store", hub).code == 0
    assert porting("results", "export", "--store", "one.db").out == porting("results", "export", "--store", "two.db").out
    assert len(porting("results", "export", "--no-logs", "--store", "one.db").out.splitlines()) == 3


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (b'"outcome":"pass"', b'"outcome":"fail"', "was changed after it was signed, or cut."),
        (b'"signature":"', b'"signature":"AAAA', "has a signature that is not of the key it names."),
        (b'"digest":"sha256:', b'"digest":"sha256:0', "was changed after it was signed, or cut."),
    ],
)
def test_what_was_changed_after_it_was_signed_does_not_come_in(
    porting: Run, signed: Path, old: bytes, new: bytes, said: str
) -> None:
    content = signed.read_bytes()
    at = content.rindex(old) if b"sig" in old else content.index(old)
    signed.write_bytes(content[:at] + new + content[at + len(old) :])
    ended = porting("results", "import", signed, "--verify", "north.pub", "--store", "hub.db")
    assert (ended.code, said in ended.complaint()) == (2, True), ended.err
    assert porting("results", "export", "--store", "hub.db").out == ""


def test_lines_that_were_taken_out_or_added_are_noticed_even_without_a_key(porting: Run, signed: Path) -> None:
    lines = signed.read_bytes().splitlines(keepends=True)
    for changed in (lines[1:], [*lines[:-1], lines[0], lines[-1]], [*lines, lines[0]]):
        signed.write_bytes(b"".join(changed))
        assert porting("results", "import", signed, "--store", "hub.db").code == 2


def test_a_stranger_and_nobody_are_not_trusted(porting: Run, signed: Path) -> None:
    make_key("south")
    ended = porting("results", "import", signed, "--verify", "south.pub", "--store", "hub.db")
    assert (ended.code, "was signed with a key that is not trusted" in ended.complaint()) == (2, True)
    signed.write_bytes(b"".join(signed.read_bytes().splitlines(keepends=True)[:-1]))
    ended = porting("results", "import", signed, "--verify", "north.pub", "--store", "hub.db")
    assert (ended.code, "is not signed" in ended.complaint()) == (2, True)
    Path("both.pub").write_text("# the centres\n" + Path("north.pub").read_text() + Path("south.pub").read_text())
    assert porting("results", "export", "new.jsonl.xz", "--sign", "south", "--store", "north.db").code == 0
    assert "signed by south" in porting("results", "import", "new.jsonl.xz", "--verify", "both.pub", "--store", "hub.db").out
    assert lzma.decompress(Path("new.jsonl.xz").read_bytes()).count(b"\n") == 4


def test_words_that_are_to_be_hidden_are_nowhere_in_what_is_signed(porting: Run, signed: Path) -> None:
    ended = porting("results", "export", "--hide", "node-17", "--sign", "north", "--store", "north.db")
    assert (ended.code, "node-17" in ended.out, ended.out.count("on HIDDEN")) == (0, False, 2)
    Path("hidden.jsonl").write_text(ended.out)
    assert porting("results", "import", "hidden.jsonl", "--verify", "north.pub", "--store", "hub.db").code == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("export", "--sign", "nosuch"), "cannot read the key nosuch"),
        (("export", "--sign", "north.pub"), "north.pub is no key that can sign"),
        (("import", "north.jsonl", "--verify", "north"), "no Ed25519 key as OpenSSH writes it"),
        (("import", "north.jsonl", "--verify", "nosuch"), "cannot read the keys in nosuch"),
    ],
)
@pytest.mark.usefixtures("signed")
def test_what_is_no_key_is_one_clear_line(porting: Run, arguments: tuple[str, ...], said: str) -> None:
    ended = porting("results", *arguments, "--store", "north.db")
    assert (ended.code, said in ended.complaint()) == (2, True), ended.err
