"""The store on SQLite, and what goes wrong with files and URLs."""

import contextlib
import importlib
import itertools
import os
import resource
import signal
import sqlite3
import sys
import tempfile
import threading
from pathlib import Path

import pytest
from store_kit import MODEL, TARGET, ended_well, exported, failed, imported, in_child, line, result

from porting.errors import DiskError, EnvironmentMissing, InfrastructureError, StoreError, UsageError
from porting.store import Store
from porting.store.records import record_of

pytest.register_assert_rewrite("store_behaviour", "store_exchange")
behaviour = importlib.import_module("store_behaviour")

store = behaviour.store

VERSION_1 = """
CREATE TABLE meta (key VARCHAR NOT NULL PRIMARY KEY, value VARCHAR NOT NULL);
CREATE TABLE environment (digest VARCHAR NOT NULL PRIMARY KEY, json TEXT NOT NULL);
CREATE TABLE log (digest VARCHAR NOT NULL PRIMARY KEY, bytes BIGINT NOT NULL, zlib BLOB NOT NULL);
CREATE TABLE result (
  id INTEGER NOT NULL PRIMARY KEY, record VARCHAR NOT NULL UNIQUE, model VARCHAR NOT NULL, target VARCHAR NOT NULL,
  moment BIGINT NOT NULL, family VARCHAR NOT NULL, run VARCHAR NOT NULL, key VARCHAR NOT NULL, stage VARCHAR NOT NULL,
  outcome VARCHAR NOT NULL, cause VARCHAR, evidence VARCHAR, signature VARCHAR, message VARCHAR NOT NULL,
  started VARCHAR NOT NULL, seconds FLOAT NOT NULL, peak_rss_bytes BIGINT NOT NULL, log VARCHAR NOT NULL,
  environment VARCHAR NOT NULL REFERENCES environment (digest), json TEXT NOT NULL);
CREATE INDEX result_by_cell ON result (model, target, moment);
CREATE INDEX result_by_key ON result (key);
CREATE INDEX result_by_moment ON result (moment, record);
CREATE TABLE cell (
  model VARCHAR NOT NULL, target VARCHAR NOT NULL, record VARCHAR NOT NULL REFERENCES result (record),
  moment BIGINT NOT NULL, family VARCHAR NOT NULL, run VARCHAR NOT NULL, key VARCHAR NOT NULL, stage VARCHAR NOT NULL,
  outcome VARCHAR NOT NULL, cause VARCHAR, evidence VARCHAR, signature VARCHAR, message VARCHAR NOT NULL,
  started VARCHAR NOT NULL, seconds FLOAT NOT NULL, peak_rss_bytes BIGINT NOT NULL, log VARCHAR NOT NULL,
  environment VARCHAR NOT NULL REFERENCES environment (digest), since VARCHAR NOT NULL, PRIMARY KEY (model, target));
CREATE TABLE run (
  id VARCHAR NOT NULL PRIMARY KEY, started VARCHAR NOT NULL, finished VARCHAR, command VARCHAR NOT NULL,
  toolkit VARCHAR NOT NULL, status VARCHAR NOT NULL);
CREATE TABLE plan (
  run VARCHAR NOT NULL REFERENCES run (id), model VARCHAR NOT NULL, target VARCHAR NOT NULL,
  record VARCHAR REFERENCES result (record), PRIMARY KEY (run, model, target));
INSERT INTO meta VALUES ('schema', '1');
PRAGMA journal_mode = WAL;
"""


def insert(connection, table, values):
    names = ", ".join(values)
    connection.execute(f"INSERT INTO {table} ({names}) VALUES ({', '.join('?' * len(values))})", list(values.values()))


def one_clear_line(error):
    return "\n" not in str(error.value) and error.value.exit_code == 3 and bool(error.value.hint)


class TestOnSQLite(behaviour.StoreBehaviour):
    """Everything a store does."""

    @pytest.fixture
    def where(self, tmp_path):
        return tmp_path / "state" / "results.db"

    def another(self, where):
        return where.with_name("another.db")

    def execute(self, where, statement):
        where.parent.mkdir(exist_ok=True)
        with contextlib.closing(sqlite3.connect(where)) as connection:
            connection.execute(statement)
            connection.commit()

    def content(self, where):
        return {path.name: path.read_bytes() for path in where.parent.iterdir()}

    def check_integrity(self, where):
        with contextlib.closing(sqlite3.connect(where)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            assert connection.execute("PRAGMA foreign_key_check").fetchall() == []

    def make_version_1(self, where, entries):
        where.parent.mkdir()
        with contextlib.closing(sqlite3.connect(where)) as connection:
            connection.executescript(VERSION_1)
            for record in map(record_of, entries):
                environment = (record.columns["environment"], record.environment)
                connection.execute("INSERT OR IGNORE INTO environment VALUES (?, ?)", environment)
                insert(connection, "result", {**record.columns, "json": record.text})
                old = connection.execute(
                    "DELETE FROM cell WHERE model = ? AND target = ? RETURNING outcome, since",
                    [record.columns["model"], record.columns["target"]],
                ).fetchone()
                same = old is not None and old[0] == record.columns["outcome"]
                insert(connection, "cell", {**record.columns, "since": old[1] if same else record.columns["started"]})
            connection.commit()

    def test_a_migrated_store_has_the_tables_of_a_new_one(self, where):
        def columns(path):
            Store.open(path).close()
            with contextlib.closing(sqlite3.connect(path)) as connection:
                names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
                return {(name, *row[1:4]) for name in names for row in connection.execute(f"PRAGMA table_info({name})")}

        self.make_version_1(where, [result()])
        assert columns(where) == columns(self.another(where))


# ---- SQLite files ---------------------------------------------------------------------------------------------------


@pytest.fixture
def where(tmp_path):
    return tmp_path / "results.db"


@pytest.fixture
def closed_folder():
    """A folder that this process may not write once `close` was called, also when the tests run as root."""
    root = os.geteuid() == 0
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)

        def close():
            os.chmod(name, 0o555)
            if root:
                os.seteuid(65534)

        try:
            yield Path(name), close
        finally:
            if root:
                os.seteuid(0)
            os.chmod(name, 0o755)


def test_a_closed_store_is_one_file(where):
    with Store.open(where) as store:
        store.append(result())
    assert [path.name for path in where.parent.iterdir()] == ["results.db"]


def test_a_store_can_be_named_by_path_text_or_url(where):
    Store.open(where).close()
    for name in (str(where), f"sqlite:///{where}"):
        with Store.open(name) as store:
            store.append(result())
            assert store.name == str(where)


def test_readers_go_on_while_another_process_writes(where):
    with Store.open(where) as store, contextlib.closing(sqlite3.connect(where, isolation_level=None)) as writer:
        store.append(result())
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("DELETE FROM cell")
        assert store.latest() == [result()]
        writer.execute("ROLLBACK")


def test_a_store_that_another_process_keeps_locked_is_one_clear_error(where):
    Store.open(where).close()
    with Store.open(where, timeout=0.05) as store, contextlib.closing(sqlite3.connect(where, isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match=r"another process has been writing to .*results\.db") as caught:
            store.append(result())
        writer.execute("ROLLBACK")
        assert one_clear_line(caught)
        store.append(result())


def test_a_full_disk_is_one_clear_error_and_loses_nothing(where):
    with Store.open(where) as store:
        kept = store.append(result(0))
        with limited_pages(store), pytest.raises(DiskError, match=r"no space left for .*results\.db. Free some space") as caught:
            store.append(result(1, message="x" * 5_000_000))
        assert one_clear_line(caught)
        assert [row.record for row in store.history(MODEL, TARGET)] == [kept]
        store.append(result(1))
        assert len(store.history(MODEL, TARGET)) == 2


@contextlib.contextmanager
def limited_pages(store):
    """SQLite's own limit on a database's size: it answers as on a full disk. It holds for a connection."""
    from sqlalchemy import event

    def limit(connection, _):
        connection.execute("PRAGMA max_page_count = 100")

    store.close()
    event.listen(store._engine, "connect", limit)
    yield
    event.remove(store._engine, "connect", limit)
    store.close()


def test_a_file_that_may_not_grow_is_one_clear_error(where):
    with Store.open(where) as store:
        store.append(result(0))

    def append_for_ever():
        for number in itertools.count(1):
            store.append(result(number, message="x" * 50_000))

    def append():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
        with pytest.raises(DiskError, match=r"the disk fails at .*results\.db. Check the disk, its quota") as caught:
            append_for_ever()
        assert one_clear_line(caught)

    assert ended_well([in_child(append)])
    with Store.open(where) as store:
        assert store.history(MODEL, TARGET)[-1].started == result(0).started
    TestOnSQLite().check_integrity(where)


def test_a_read_only_folder_is_one_clear_error(closed_folder):
    folder, close = closed_folder
    close()
    for path in (folder / "results.db", folder / "deeper" / "results.db"):
        with pytest.raises(DiskError, match=r"cannot (open|write) .*folder") as caught:
            Store.open(path)
        assert one_clear_line(caught)


def test_a_read_only_file_is_one_clear_error_and_keeps_what_it_has(closed_folder):
    folder, close = closed_folder
    with Store.open(folder / "results.db") as store:
        store.append(result())
    close()
    with (
        pytest.raises(DiskError, match=r"cannot (open|write) .*results\.db") as caught,
        Store.open(folder / "results.db") as store,
    ):
        store.append(result(1))
    assert one_clear_line(caught)


def test_a_file_that_is_no_database_is_one_clear_error_and_left_as_it_is(where):
    where.write_bytes(b"import torch\n" * 1000)
    with pytest.raises(StoreError, match=r"there is no SQLite database in .*results\.db") as caught:
        Store.open(where)
    assert one_clear_line(caught)
    assert where.read_bytes() == b"import torch\n" * 1000


@pytest.mark.parametrize("damage", ["truncated", "overwritten"])
def test_a_damaged_database_is_one_clear_error(where, damage):
    with Store.open(where) as store:
        imported(store, b"".join(line(result(n, model=f"m{n}")) for n in range(300)))
    content = where.read_bytes()
    half = len(content) // 2
    where.write_bytes(content[:half] if damage == "truncated" else content[:4096] + b"\xff" * (len(content) - 4096))
    with pytest.raises(StoreError, match=r"damaged: .*results\.db .*Move it away, then `porting results import`") as caught:
        read_all(where)
    assert one_clear_line(caught)


def read_all(where):
    with Store.open(where) as store:
        exported(store)
        store.matrix()


def test_a_folder_in_place_of_the_file_is_one_clear_error(tmp_path):
    with pytest.raises(DiskError, match="cannot open") as caught:
        Store.open(tmp_path)
    assert one_clear_line(caught)


def test_a_file_in_place_of_the_folder_is_one_clear_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DiskError, match="cannot write") as caught:
        Store.open(tmp_path / "file" / "results.db")
    assert one_clear_line(caught)


def test_an_import_from_a_stream_that_breaks_imports_nothing(where):
    def broken():
        yield line(result(0))
        raise OSError("the pipe broke")

    with Store.open(where) as store:
        with pytest.raises(OSError, match="the pipe broke"):
            store.import_jsonl(broken())
        assert store.matrix() == []


def test_an_import_of_older_results_changes_only_the_past(where):
    with Store.open(where) as store:
        store.append(failed(5))
        imported(store, line(result(4)) + line(failed(3)))
        (cell,) = store.matrix()
        assert (cell.started, cell.since, cell.previous.value) == (failed(5).started, failed(5).started, "pass")
        assert [row.started for row in store.history(MODEL, TARGET)] == [result(n).started for n in (5, 4, 3)]


# ---- URLs -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("url", ["mysql://u:secret@h/d", "sqlite://", "sqlite:///:memory:", "postgresql://h:port/d", "://"])
def test_a_url_of_no_store_is_a_usage_error_that_keeps_the_password(url):
    with pytest.raises(UsageError, match="Give a path, sqlite:///PATH, or postgresql://") as caught:
        Store.open(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("scheme", ["postgresql", "postgresql+psycopg", "postgres"])
def test_a_server_that_is_not_there_is_one_clear_error_that_keeps_the_password(scheme):
    with pytest.raises(StoreError, match=r"cannot connect to postgresql\+psycopg://u:\*\*\*@127.0.0.1:1/d") as caught:
        Store.open(f"{scheme}://u:secret@127.0.0.1:1/d")
    assert one_clear_line(caught)
    assert "secret" not in str(caught.value)


def test_without_psycopg_the_error_has_the_command_that_brings_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(EnvironmentMissing, match=r"pip install 'porting\[postgresql\]'") as caught:
        Store.open("postgresql://h/d")
    assert isinstance(caught.value, InfrastructureError)


def test_importing_the_package_loads_no_sqlalchemy():
    import subprocess

    check = "import sys, porting.store; sys.exit('sqlalchemy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0


def test_a_store_that_another_process_is_making_is_waited_for(tmp_path):
    other = sqlite3.connect(tmp_path / "results.db", isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    other.execute("PRAGMA user_version = 0")
    finish = threading.Timer(0.3, other.rollback)
    finish.start()
    with Store.open(tmp_path / "results.db", timeout=30) as opened:
        assert opened.latest() == []
    finish.join()
    other.close()
