"""What goes out of a store as JSON Lines and into another, on every engine; see store_behaviour."""

import base64
import json
import os
import random
import zlib

import pytest
from store_kit import TARGET, exported, failed, imported, line, result

from porting.errors import UsageError
from porting.serialization import to_json
from porting.store import Imported, Store
from porting.workspace import digest_bytes


class ExchangeBehaviour:
    """Inherited by the tests of each engine."""

    def test_an_export_is_the_same_bytes_after_an_import_elsewhere(self, where, store):
        for number, log in ((2, b"b" * 5000), (0, None), (1, b"a\xff"), (3, os.urandom(3 << 20))):
            store.append(result(number, message="中 \0 \udc80"), log)
        first = exported(store)
        with Store.open(self.another(where)) as other:
            assert imported(other, first) == Imported(4, 0)
            assert exported(other) == first
            assert other.matrix() == store.matrix()
            assert other.log_text(digest_bytes(b"a\xff")) == "a�"

    def test_an_export_is_one_result_a_line_oldest_first_then_the_logs(self, store):
        for number in (1, 0):
            store.append(result(number), b"log")
        lines = [json.loads(text) for text in exported(store).splitlines()]
        assert [entry.get("started") for entry in lines] == [result(0).started, result(1).started, None]
        assert {entry["schema"] for entry in lines} == {1}
        assert zlib.decompress(base64.b64decode(lines[2]["zlib"])) == b"log"
        assert len(exported(store, logs=False).splitlines()) == 2

    def test_an_export_can_be_narrowed(self, store):
        for number, model in enumerate("abc"):
            store.append(result(number, model=model), model.encode())
        chosen = exported(store, models=["b", "c"], since=result(1).started)
        assert [json.loads(text).get("model") for text in chosen.splitlines()] == ["b", "c", None, None]
        assert len(exported(store, models=["a"], targets=[TARGET]).splitlines()) == 2
        assert exported(store, targets=["other:cpu:fp32"]) == b""

    def test_an_import_is_the_same_in_any_order_and_any_number_of_times(self, where, store):
        for number in range(9):
            store.append((result, failed)[number % 2](number), b"log %d" % number)
        lines = exported(store).splitlines(keepends=True)
        random.Random(1).shuffle(lines)
        with Store.open(self.another(where)) as other:
            assert imported(other, b"".join(lines[:12])).known == 0
            imported(other, b"".join(lines[5:]))
            assert imported(other, b"".join(lines + lines)) == Imported(0, 18)
            assert exported(other) == exported(store)
            assert other.matrix() == store.matrix()

    def test_a_record_keeps_the_fields_of_a_newer_minor_version(self, where, store):
        data = to_json(result()) | {"weather": {"sun": [1.5, None]}}
        imported(store, json.dumps(data).encode() + b"\n")
        assert store.latest() == [result()]
        assert json.loads(exported(store))["weather"] == {"sun": [1.5, None]}

    def test_blank_lines_a_byte_order_mark_and_a_missing_last_newline_are_no_harm(self, store):
        content = b"\xef\xbb\xbf" + line(result(0)) + b"\r\n\n" + line(result(1)).rstrip()
        assert imported(store, content) == Imported(2, 0)

    def bad_lines():
        good = to_json(result(5))
        log = {"schema": 1, "log": digest_bytes(b"x"), "bytes": 1, "zlib": base64.b64encode(zlib.compress(b"x")).decode()}
        bomb = base64.b64encode(zlib.compress(bytes(50_000_000))).decode()

        def text(**changes):
            return json.dumps(good | changes).encode() + b"\n"

        def without(name):
            return json.dumps({k: v for k, v in good.items() if k != name}).encode() + b"\n"

        def packed(**changes):
            return json.dumps(log | changes).encode() + b"\n"

        return {
            "cut": (line(result(5))[:700], "the last line is cut off"),
            "not-json": (b"{'model': 1}\n", "not JSON at character 2"),
            "not-utf8": (line(result(5)).replace(b"qwen3", b"qw\xffn3"), "not UTF-8 at byte"),
            "nan": (line(result(5)).replace(b"12.5", b"NaN"), "number NaN, which is not finite"),
            "infinity": (line(result(5)).replace(b"12.5", b"1e999"), "not finite"),
            "outcome": (text(outcome="passed"), "'outcome'.*\"passed\", not one of degraded, fail"),
            "missing": (text(outcome="missing"), "'outcome'.*\"missing\", not one of"),
            "cause": (text(cause="bad luck"), "'cause'.*\"bad luck\", not one of"),
            "no-model": (without("model"), "has no field 'model'"),
            "wrong-type": (text(seconds="12"), "'seconds' that is not a number"),
            "wrong-inner-type": (text(cases=[{"name": "a", "outputs": [{"name": 5}]}]), "'cases'.*'outputs'.*'name' that is 5"),
            "wrong-list": (text(route="export"), "'route' that is \"export\", not a list"),
            "wrong-map": (text(axes={"batch": 2}), "'axes'.*'batch' that is 2, not a text"),
            "no-time": (text(started=""), "no ISO 8601 time"),
            "array": (b"[1]\n", "is a list, not an object"),
            "deep": (b"[" * 100_000 + b"]" * 100_000 + b"\n", "nested too deeply"),
            "newer": (text(schema=2), "written by a newer version"),
            "newer-log": (packed(schema=2), "written by a newer version"),
            "log-digest": (packed(log=digest_bytes(b"y")), "not the one its digest names"),
            "log-damaged": (packed(zlib="AAAA"), "cannot be unpacked"),
            "log-bomb": (packed(zlib=bomb, bytes=50_000_000), "cut off or longer than a log can be"),
            "log-empty": (packed(bytes=None), "without digest, size or content"),
        }  # fmt: skip

    @pytest.mark.parametrize(("bad", "complaint"), bad_lines().values(), ids=bad_lines())
    def test_a_bad_line_is_named_and_nothing_is_imported(self, store, bad, complaint):
        store.append(result(0))
        before = exported(store)
        good = line(result(1)) + line(result(2))
        with pytest.raises(UsageError, match=rf"^results\.jsonl, line 3: .*{complaint}") as caught:
            imported(store, good + bad, "results.jsonl")
        assert exported(store) == before
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 800
        assert imported(store, line(result(1))) == Imported(1, 0)

    def test_a_bad_line_after_many_undoes_them_all(self, store):
        many = b"".join(line(result(n, model=f"m{n}")) for n in range(2100))
        with pytest.raises(UsageError, match="line 2101: the last line is cut off"):
            imported(store, many + many[:500])
        assert (store.matrix(), exported(store)) == ([], b"")
