"""The store on a PostgreSQL server that these tests start: all that it does on SQLite, and what only a server can do wrong."""

import contextlib
import importlib
import itertools
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from store_kit import MODEL, TARGET, exported, failed, result

from porting.errors import StoreError
from porting.store import Store, tables
from porting.store.records import record_of

pytest.register_assert_rewrite("store_behaviour", "store_exchange")
behaviour = importlib.import_module("store_behaviour")

store = behaviour.store

pytestmark = pytest.mark.postgresql

INSTALL = "apt-get install -y --no-install-recommends postgresql"
USER = "postgres"
_numbers = itertools.count()


def server_programs():
    """The folder of the newest server installed, or None: Debian keeps it off the PATH."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name))
    on_path = shutil.which("pg_ctl")
    return folders[-1] if folders else Path(on_path).parent if on_path else None


def run_as_server_user(*command):
    # The server refuses to run as root.
    prefix = ["runuser", "-u", USER, "--"] if os.geteuid() == 0 else []
    subprocess.run([*prefix, *map(str, command)], check=True, stdout=subprocess.DEVNULL, cwd="/")


@pytest.fixture(scope="session")
def server():
    """The host part of URLs: the folder of the server's socket."""
    programs = server_programs()
    if programs is None:
        pytest.skip(f"PostgreSQL is not installed: {INSTALL}")
    with tempfile.TemporaryDirectory(prefix="pg") as name:
        folder = Path(name)
        if os.geteuid() == 0:
            shutil.chown(folder, USER)
        data = folder / "data"
        run_as_server_user(
            programs / "initdb", "-D", data, "-U", USER, "-A", "trust", "-E", "UTF8", "--no-sync", "--locale=C.UTF-8"
        )
        options = f"-c listen_addresses='' -c unix_socket_directories={folder} -c fsync=off -c max_connections=30"
        run_as_server_user(programs / "pg_ctl", "-D", data, "-o", options, "-l", folder / "log", "-w", "start")
        try:
            yield folder
        finally:
            run_as_server_user(programs / "pg_ctl", "-D", data, "-m", "immediate", "-w", "stop")


def connection(server, database="postgres"):
    import psycopg

    return psycopg.connect(host=str(server), user=USER, dbname=database, autocommit=True)


def new_database(server):
    name = f"store{next(_numbers)}"
    with contextlib.closing(connection(server)) as administrator:
        administrator.execute(f"CREATE DATABASE {name}")
    return f"postgresql://{USER}@/{name}?host={server}"


def name_of(url):
    return url.split("@/")[1].split("?")[0]


@pytest.fixture
def where(server):
    url = new_database(server)
    yield url
    with contextlib.closing(connection(server)) as administrator:
        administrator.execute(f"DROP DATABASE {name_of(url)} WITH (FORCE)")


class TestOnPostgreSQL(behaviour.StoreBehaviour):
    """Everything a store does."""

    @pytest.fixture(autouse=True)
    def at(self, server):
        self.server = server

    def connect(self, where):
        return contextlib.closing(connection(self.server, name_of(where)))

    def another(self, where):
        return new_database(self.server)

    def execute(self, where, statement):
        with self.connect(where) as database:
            database.execute(statement)

    def content(self, where):
        with self.connect(where) as database:
            columns = database.execute(
                "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'public' ORDER BY 1, 2"
            ).fetchall()
            rows = {table: database.execute(f"SELECT * FROM {table}").fetchall() for table, _ in columns}
        return columns, rows

    def check_integrity(self, where):
        with self.connect(where) as database:
            database.execute("REINDEX TABLE result")  # fails when a unique index is not
            assert database.execute("SELECT count(*) FROM cell WHERE record NOT IN (SELECT record FROM result)").fetchone() == (
                0,
            )

    def make_version_1(self, where, entries):
        with Store.open(where) as store:
            for record in map(record_of, entries):
                store.import_jsonl([record.text.encode()])
        self.execute(where, "ALTER TABLE cell DROP COLUMN previous")
        self.execute(where, "UPDATE meta SET value = '1' WHERE key = 'schema'")


def test_a_store_that_another_process_keeps_locked_is_one_clear_error(server, where):
    with Store.open(where, timeout=0.05) as store, contextlib.closing(connection(server, name_of(where))) as other:
        other.execute(f"SELECT pg_advisory_lock({0x706F7274696E67})")
        with pytest.raises(StoreError, match="another process has been writing to postgresql") as caught:
            store.append(result())
        assert "\n" not in str(caught.value)
        other.execute("SELECT pg_advisory_unlock_all()")
        store.append(result())
        assert store.latest() == [result()]


def test_a_database_may_be_shared_with_tables_of_others(server, where):
    with contextlib.closing(connection(server, name_of(where))) as other:
        other.execute("CREATE TABLE customers (id INTEGER)")
    with Store.open(where) as store:
        store.append(result())
        assert store.latest() == [result()]


def test_a_database_that_is_not_there_is_one_clear_error(server):
    with pytest.raises(StoreError, match='database "absent" does not exist') as caught:
        Store.open(f"postgresql://{USER}@/absent?host={server}")
    assert "\n" not in str(caught.value)


def test_a_server_that_ends_a_connection_is_one_clear_error_and_the_next_call_connects_anew(server, where):
    with Store.open(where) as store, contextlib.closing(connection(server)) as administrator:
        store.append(result(0))
        administrator.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name_of(where)}'")
        with pytest.raises(StoreError, match=r"cannot connect to .*terminating connection") as caught:
            store.append(result(1))
        assert "\n" not in str(caught.value)
        store.append(result(1))
        assert len(store.history(MODEL, TARGET)) == 2


def test_both_engines_have_the_same_matrix_and_export(where, tmp_path):
    with Store.open(where) as server_store, Store.open(tmp_path / "results.db") as file_store:
        for store in (server_store, file_store):
            for number in range(5):
                store.append((result, failed)[number % 2](number, model=f"M{number % 2}中", seconds=0.1 * number), b"log")
        assert server_store.matrix() == file_store.matrix()
        assert exported(server_store) == exported(file_store)


def test_all_tables_are_there(server, where):
    Store.open(where).close()
    with contextlib.closing(connection(server, name_of(where))) as database:
        found = database.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
    assert {name for (name,) in found} == set(tables.metadata.tables)
