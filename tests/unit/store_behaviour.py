"""What the store does on every engine: test classes inherit these tests and bring a fixture `where`, an empty database.

`reopen_at_version` and `check_integrity` are for the engines too, since they reach below the store.
"""

import os
import random
import select
import signal
import time

import pytest
from store_exchange import ExchangeBehaviour
from store_kit import MODEL, TARGET, ended_well, exported, failed, imported, in_child, line, result

from porting.errors import StoreError, UsageError
from porting.records.history import intervals
from porting.store import Store
from porting.store.logs import LIMIT
from porting.types import CaseNumbers, Cause, Evidence, Outcome, OutputNumbers, Stage
from porting.workspace import digest_bytes


@pytest.fixture
def store(where):
    with Store.open(where) as store:
        yield store


def _lines(store):
    """What a history says of the one cell."""
    return [(i.says, i.first, i.last, i.moved) for i in intervals(store.history(MODEL, TARGET)[::-1], store)]


class StoreBehaviour(ExchangeBehaviour):
    """Inherited by the tests of each engine."""

    # ---- append and read

    def test_an_appended_result_comes_back_as_it_was(self, store):
        record = store.append(result())
        assert store.get(record) == result()
        assert store.by_keys(["key0", "unknown", ""]) == {"key0": result()}
        assert store.latest() == [result()]
        assert store.get("0" * 64) is None

    def test_results_outlive_the_store_that_took_them(self, where):
        with Store.open(where) as store:
            store.append(result())
        with Store.open(where) as store:
            assert store.latest() == [result()]

    def test_several_results_are_added_with_their_logs_all_or_none(self, store):
        ids = store.extend([(result(1, model="a"), None), (failed(2, model="b"), b"boom"), (result(3, model="a"), None)])
        assert [store.get(record).model for record in ids] == ["a", "b", "a"]
        assert store.log_text(store.get(ids[1]).log) == "boom"
        assert {r.model: r.key for r in store.latest()} == {"a": "key3", "b": "key2"}
        with pytest.raises(ValueError, match="missing"):
            store.extend([(result(4, model="c"), None), (result(5, outcome=Outcome.MISSING), None)])
        assert len(store.latest()) == 2

    def test_the_same_result_twice_is_one_record(self, store):
        assert store.append(result()) == store.append(result())
        assert len(store.history(MODEL, TARGET)) == 1

    def test_a_result_without_a_start_gets_the_present_time(self, store):
        record = store.append(result(started=""))
        assert store.get(record).started > "2026"
        assert store.get(record) == result(started=store.get(record).started)

    @pytest.mark.parametrize(
        "message",
        ["<b>&\"'</b>", "中文 한국어 \U0001f600", "nul \0 and half a pair \udc80", "a\r\nb\u2028c", "x" * 10_000_000],
        ids=["html", "unicode", "nul-surrogate", "lines", "10MB"],
    )
    def test_any_message_is_kept_whole_and_shown_in_the_matrix(self, store, message):
        record = store.append(result(message=message))
        assert store.get(record).message == message
        (cell,) = store.matrix()
        assert cell.message[:3] == message[:3]
        assert len(cell.message) <= 500

    @pytest.mark.parametrize(
        ("fields", "complaint"),
        [
            ({"seconds": float("nan")}, "non-finite"),
            ({"cases": (CaseNumbers("a", (OutputNumbers("y", max_abs=float("inf")),)),)}, "non-finite"),
            ({"outcome": Outcome.MISSING}, "'outcome'"),
            ({"started": "yesterday"}, "no ISO 8601 time: 'yesterday'"),
            ({"peak_rss_bytes": 2**63}, "'peak_rss_bytes'.* 64 bits"),
            ({"model": None}, "'model'.* null, not a text"),
        ],
        ids=["nan", "nested-inf", "missing", "no-time", "too-large", "no-model"],
    )
    def test_what_no_record_can_be_is_refused_and_not_stored(self, store, fields, complaint):
        with pytest.raises(ValueError, match=complaint):
            store.append(result(**fields))
        assert store.matrix() == []

    def test_by_keys_gives_the_result_that_started_last(self, store):
        for number in (1, 2, 0):
            store.append(result(number, key="same"))
        assert store.by_keys(["same"]) == {"same": result(2, key="same")}

    def test_thousands_of_keys_are_asked_for_at_once(self, store):
        many = [result(n, model=f"m{n}") for n in range(2500)]
        imported(store, b"".join(map(line, many)))
        found = store.by_keys([r.key for r in many] + ["other"])
        assert len(found) == 2500
        assert found["key1234"] == many[1234]

    def test_latest_can_be_narrowed_to_models_and_targets(self, store):
        for model in ("a", "b"):
            for target in ("x:cpu:fp32", "y:cpu:fp32"):
                store.append(result(model=model, target=target))
        assert [(r.model, r.target) for r in store.latest(targets=["y:cpu:fp32"])] == [("a", "y:cpu:fp32"), ("b", "y:cpu:fp32")]
        assert [(r.model, r.target) for r in store.latest(["b"], ["x:cpu:fp32"])] == [("b", "x:cpu:fp32")]
        assert store.latest(models=[]) == []
        assert len(store.latest()) == 4

    # ---- cells

    def test_the_matrix_shows_each_cell_once_in_order_with_what_a_table_needs(self, store):
        for model in ("b", "a"):
            store.append(failed(model=model, message="boom"))
        first, second = store.matrix()
        assert (first.model, second.model) == ("a", "b")
        assert (first.stage, first.outcome, first.cause, first.evidence) == (
            Stage.CONVERT,
            Outcome.FAIL,
            Cause.CRASH,
            Evidence.HOST,
        )
        assert (first.signature, first.message, first.seconds, first.peak_rss_bytes) == ("9f2c1e", "boom", 12.5, 421000000)
        assert store.environment(first.environment) == {"openvino": "2026.4.1"}
        assert store.get(first.record) == failed(model="a", message="boom")

    def test_a_cell_says_since_when_its_outcome_holds_and_what_was_before(self, store):
        for entry in (result(0), failed(1), failed(2)):
            store.append(entry)
        (cell,) = store.matrix()
        assert (cell.outcome, cell.previous, cell.started, cell.since) == (
            Outcome.FAIL, Outcome.PASS, failed(2).started, failed(1).started
        )  # fmt: skip
        store.append(result(3))
        (cell,) = store.matrix()
        assert (cell.outcome, cell.previous, cell.since) == (Outcome.PASS, Outcome.FAIL, result(3).started)

    def test_a_cell_with_one_outcome_has_no_previous_one(self, store):
        store.append(result(0))
        store.append(result(1))
        (cell,) = store.matrix()
        assert (cell.previous, cell.since) == (None, result(0).started)

    def test_cells_do_not_depend_on_the_order_in_which_results_come_in(self, where, store):
        entries = [(result, failed)[n % 3 == 0](n) for n in range(7)]
        for entry in entries:
            store.append(entry)
        in_order = store.matrix()
        random.Random(5).shuffle(entries)
        with Store.open(self.another(where)) as other:
            for entry in entries:
                other.append(entry)
            assert other.matrix() == in_order

    def test_times_are_compared_as_times_and_not_as_text(self, store):
        for started in ("2026-11-24T09:00:00.5Z".replace(".5", ".500000"), "2026-11-24T09:00:00Z", "2026-11-24T12:00:00+08:00"):
            store.append(result(started=started))
        assert [row.started[:23] for row in store.history(MODEL, TARGET)] == [
            "2026-11-24T09:00:00.500", "2026-11-24T09:00:00Z", "2026-11-24T12:00:00+08:"
        ]  # fmt: skip

    def test_history_is_one_cells_results_the_latest_first(self, store):
        for entry in (result(0), failed(1), result(2), result(3, model="another")):
            store.append(entry)
        assert [(row.started, row.outcome) for row in store.history(MODEL, TARGET)] == [
            (result(2).started, Outcome.PASS), (result(1).started, Outcome.FAIL), (result(0).started, Outcome.PASS)
        ]  # fmt: skip
        assert store.history("unknown", TARGET) == []

    def test_history_says_since_when_each_outcome_held_at_the_time(self, store):
        for entry in (result(0), failed(1), failed(2), result(3)):
            store.append(entry)
        assert [(row.since, row.previous) for row in store.history(MODEL, TARGET)] == [
            (result(3).started, Outcome.FAIL), (result(1).started, Outcome.PASS),
            (result(1).started, Outcome.PASS), (result(0).started, None),
        ]  # fmt: skip
        assert store.history(MODEL, TARGET)[:1] == store.matrix()

    # ---- logs

    def test_compaction_leaves_the_ends_of_every_interval_and_all_that_a_store_says_of_them(self, store):
        fates = [result, result, result, failed, failed, failed, failed, result, result, result]
        for number, made in enumerate(fates):
            store.append(made(number, environment={"openvino": "1" if number < 8 else "2"}), f"log {number}".encode())
        before = store.matrix(), _lines(store)
        until = result(len(fates)).started
        assert store.compact(until, trial=True) == store.compact(until)
        assert (store.matrix(), _lines(store)) == before
        assert [row.started[17:19] for row in store.history(MODEL, TARGET)[::-1]] == ["00", "02", "03", "06", "07", "08", "09"]
        assert exported(store).count(b"zlib") == 7, "logs went with their results"
        assert store.compact(until).results == 0

    def test_compaction_leaves_what_is_young_and_what_answers_a_run_that_stays(self, store):
        store.begin_run("run1", [(MODEL, TARGET)])
        for number in range(5):
            store.append(result(number, run="run1" if number == 2 else ""))
        assert store.compact(result(2).started).results == 1
        assert [row.started[17:19] for row in store.history(MODEL, TARGET)[::-1]] == ["00", "02", "03", "04"]
        assert store.compact(result(5).started).results == 1, "the one that answers the run stays"
        assert store.missing("run1") == []
        assert store.compact("2100-01-01T00:00:00Z").runs == 1
        assert len(store.history(MODEL, TARGET)) == 2

    def test_a_log_is_kept_under_the_digest_that_the_result_names(self, store):
        record = store.append(result(), b"line 1\nno utf-8: \xff\n")
        digest = store.get(record).log
        assert digest == digest_bytes(b"line 1\nno utf-8: \xff\n")
        assert store.log_text(digest) == "line 1\nno utf-8: �\n"
        assert store.log_text("sha256:unknown") is None

    def test_of_a_long_log_head_and_tail_are_kept(self, store):
        log = b"head" + bytes(LIMIT) + b"tail"
        record = store.append(result(), log)
        text = store.log_text(store.get(record).log)
        assert text.startswith("head")
        assert text.endswith("tail")
        assert "[... 8 bytes left out ...]" in text
        assert LIMIT < len(text) < LIMIT + 100

    def test_two_results_may_share_a_log(self, store):
        for number in (0, 1):
            store.append(result(number), b"same")
        assert {row.log for row in store.history(MODEL, TARGET)} == {digest_bytes(b"same")}

    # ---- runs

    def test_what_a_run_planned_and_nothing_answered_is_missing(self, store):
        store.begin_run("run1", [("b", TARGET), (MODEL, TARGET), ("a", TARGET)], "porting check")
        assert store.missing("run1") == [("a", TARGET), ("b", TARGET), (MODEL, TARGET)]
        store.append(result())
        store.append(result(model="a", run="another run"))
        assert store.missing("run1") == [("a", TARGET), ("b", TARGET)]
        assert store.of_run("run1") == [result()]

    def test_a_recorded_result_of_equal_key_can_answer_a_planned_cell(self, store):
        store.append(result(key="k"))
        store.begin_run("run2", [(MODEL, TARGET), ("a", TARGET)])
        store.reuse("run2", [*store.by_keys(["k"]).values(), result(model="a", key="never recorded")])
        assert store.missing("run2") == [("a", TARGET)]
        assert store.of_run("run2") == [result(key="k")]

    def test_results_that_are_imported_answer_the_plan_of_their_run(self, store):
        store.begin_run("run1", [(MODEL, TARGET)])
        imported(store, line(result()))
        assert store.missing("run1") == []

    def test_a_run_is_listed_with_its_command_and_how_it_ended(self, store):
        store.begin_run("run1", [], "porting check a")
        store.begin_run("run2", [])
        store.finish_run("run1", "incomplete")
        runs = {run.id: run for run in store.runs()}
        assert (runs["run1"].command, runs["run1"].status, runs["run2"].status) == ("porting check a", "incomplete", "running")
        assert runs["run2"].finished is None
        assert runs["run1"].finished >= runs["run1"].started

    def test_a_resumed_run_keeps_its_answers_and_may_grow(self, store):
        store.begin_run("run1", [(MODEL, TARGET)])
        store.append(result())
        store.finish_run("run1", "interrupted")
        store.begin_run("run1", [(MODEL, TARGET), ("a", TARGET)])
        assert store.missing("run1") == [("a", TARGET)]
        assert [(run.status, run.finished) for run in store.runs()] == [("running", None)]

    def test_a_run_that_nobody_began_cannot_be_finished(self, store):
        with pytest.raises(UsageError, match="no run 'x'"):
            store.finish_run("x")
        assert store.missing("x") == []

    # ---- many processes

    def test_four_processes_append_at_once_and_nothing_is_lost(self, where):
        def append(process):
            with Store.open(where) as store:  # which one of them creates
                for number in range(25):
                    store.append(result(number, model=f"m{number % 5}", message=str(process)), b"log %d" % (number % 3))

        children = [in_child(lambda process=process: append(process)) for process in range(4)]
        assert ended_well(children)
        with Store.open(where) as store:
            assert [len(store.history(f"m{n}", TARGET)) for n in range(5)] == [20] * 5
            assert [cell.record for cell in store.matrix()] == [store.history(f"m{n}", TARGET)[0].record for n in range(5)]
        self.check_integrity(where)

    def test_a_forked_process_uses_a_connection_of_its_own(self, store):
        store.append(result(0))
        children = [in_child(lambda n=n: store.append(result(n))) for n in (1, 2)]
        store.append(result(3))
        assert ended_well(children)
        assert [row.started for row in store.history(MODEL, TARGET)] == [result(n).started for n in (3, 2, 1, 0)]

    @pytest.mark.slow
    def test_every_append_that_returned_survives_the_kill_of_its_process(self, where):
        random_moment = random.Random(7)
        acknowledged = []
        for life in range(20):
            reader, writer = os.pipe()

            def append(life=life, writer=writer):
                with Store.open(where) as store:
                    for number in range(10_000):
                        entry = (result, failed)[number % 2](number, model=f"m{number % 3}", message=str(life))
                        os.write(writer, store.append(entry, b"log" * number).encode())

            child = in_child(append)
            os.close(writer)
            if life % 2:  # on a busy machine the others may be killed before they have begun
                select.select([reader], [], [], 30)
            time.sleep(random_moment.uniform(0.02, 0.2))
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            with open(reader, "rb") as pipe:
                received = pipe.read().decode()
            acknowledged += [received[at : at + 64] for at in range(0, len(received), 64)]
        with Store.open(where) as store:
            assert len(acknowledged) > 20
            assert [record for record in acknowledged if store.get(record) is None] == []
            for cell in store.matrix():
                assert cell.record == store.history(cell.model, cell.target)[0].record
                assert store.log_text(cell.log) is not None
        self.check_integrity(where)

    # ---- versions

    def test_a_store_of_a_newer_version_is_refused_and_left_as_it_is(self, where):
        with Store.open(where) as store:
            store.append(result())
        self.execute(where, "UPDATE meta SET value = '99' WHERE key = 'schema'")
        before = self.content(where)
        with pytest.raises(StoreError, match=r"has schema version 99, this porting knows up to 2\. Update porting") as caught:
            Store.open(where)
        assert caught.value.exit_code == 3
        assert "\n" not in str(caught.value)
        assert self.content(where) == before

    def test_a_store_of_version_1_is_brought_up_to_date_with_nothing_lost(self, where):
        entries = [result(0), failed(1), failed(2), result(3, model="other")]
        self.make_version_1(where, entries)
        with Store.open(where) as store:
            cell, other = sorted(store.matrix(), key=lambda c: c.model, reverse=True)
            assert (cell.outcome, cell.previous, cell.since) == (Outcome.FAIL, Outcome.PASS, failed(1).started)
            assert (other.outcome, other.previous) == (Outcome.PASS, None)
            assert store.latest() == [entries[3], entries[2]]
            store.append(result(4))
            assert [c.previous for c in store.matrix()] == [None, Outcome.FAIL]
        with Store.open(where) as store:
            assert len(store.history(MODEL, TARGET)) == 4

    def test_a_migration_that_fails_leaves_the_older_version(self, where, monkeypatch):
        from porting.store import migrations

        self.make_version_1(where, [result(0)])

        def fail(connection):
            migrations._to_2(connection)
            raise StoreError("no")

        with monkeypatch.context() as patch:
            patch.setitem(migrations.MIGRATIONS, 1, fail)
            with pytest.raises(StoreError, match="no"):
                Store.open(where)
        with Store.open(where) as store:
            assert store.latest() == [result(0)]

    def test_a_database_of_something_else_is_refused_and_left_as_it_is(self, where):
        self.execute(where, "CREATE TABLE result (x INTEGER)")
        before = self.content(where)
        with pytest.raises(StoreError, match="a database of something else: it has a table 'result'"):
            Store.open(where)
        assert self.content(where) == before
