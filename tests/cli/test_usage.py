"""What cannot be understood is answered with one line that says what to do next, and with exit status 2."""

from __future__ import annotations

from pathlib import Path

import pytest
from cli_kit import Run

ON = ("--on", "onnxruntime:cpu:fp32")


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (("chek",), "Did you mean check?"),
        (("check", "--bogus"), "porting check --help"),
        (("check", "--timeout", "soon"), "'soon' is not a valid float"),
        (("check",), "Name some"),
        (("check", "bert", *ON), "Did you mean transformers/bert"),
        (("check", "transformers/brt", *ON), "Did you mean transformers/bert"),
        (("check", "transformers/zzz*", *ON), "porting models list"),
        (("check", "--tier", "smok", *ON), "Did you mean smoke?"),
        (("check", "transformers/bert", "--on", "onnxruntim:cpu:fp32"), "Did you mean onnxruntime, "),
        (("check", "transformers/bert", "--on", "onnxruntime:gpu:fp32"), "onnxruntime knows"),
        (("check", "transformers/bert", "--on", "onnxruntime:cpu:fp31"), "Did you mean fp32"),
        (("check", "transformers/bert", "--on", "onnxruntime"), "adapter:device:precision"),
        (("check", "transformers/bert", "--on", "openvin:*"), "unknown target"),
        (("check", "transformers/bert", "--shard", "3/2"), "1 <= I <= N"),
        (("check", "./nothing.onnx", *ON), "Check the path."),
        (("check", "transformers/bert", *ON, "--inputs", "nothing.npz"), "Check the path."),
        (("convert", "transformers/brt", "--to", "onnxruntime:cpu:fp32", "-o", "port"), "Did you mean transformers/bert"),
        (("convert", "transformers/bert", "--to", "onnxruntime:cpu:fp9", "-o", "port"), "Did you mean"),
        (("convert", "transformers/b*", "--to", "onnxruntime:cpu:fp32", "-o", "port"), "Name one of them."),
        (("convert", "transformers/bert"), "--to"),
        (("explain", "transformers/bert", "onnxruntime:cpu:fp32"), "porting check transformers/bert --on onnxruntime:cpu:fp32"),
        (("explain",), "porting explain --help"),
        (("report",), "porting check"),
        (("models", "show", "brt"), "Did you mean transformers/bert"),
        (("models", "list", "zzz*"), "porting models list"),
        (("targets", "show", "cuda"), "adapter:device:precision"),
        (("results", "import", "nothing.jsonl"), "No such file"),
        (("init", "no_factory"), "package.module:function"),
    ],
)  # fmt: skip
def test_a_request_that_cannot_be_understood_is_answered_in_one_line(
    porting: Run, setting: Path, arguments: tuple[str, ...], wanted: str
) -> None:
    ended = porting(*arguments)
    assert ended.code == 2
    assert wanted in ended.complaint()
    assert ended.out == ""
    assert list(setting.iterdir()) == [], "nothing is written"


def test_two_models_with_one_id_are_named_with_file_and_line(porting: Run, setting: Path) -> None:
    (setting / "porting.toml").write_text(
        '[[models]]\nid = "mine"\nsource = "factory"\nname = "small_models:narrow"\n\n'
        '[[models]]\nid = "mine"\nsource = "factory"\nname = "small_models:wide"\n'
    )
    ended = porting("check", *ON)
    assert ended.code == 2
    assert "porting.toml:9: model 'mine' is already defined" in ended.complaint()


def test_an_id_of_the_built_in_catalog_cannot_be_taken_twice(porting: Run, setting: Path) -> None:
    (setting / "porting.toml").write_text('[[models]]\nid = "transformers/bert"\nsource = "factory"\nname = "a:b"\n')
    ended = porting("models", "list")
    assert ended.code == 2
    assert "already defined at" in ended.complaint()


@pytest.mark.parametrize(
    ("text", "line", "wanted"),
    [
        ('[[models]]\nid = "mine"\nsource = "factory"\nname = 7\n', 4, "name"),
        ('[[models]]\nid = "mine"\nsource = "factori"\nname = "a:b"\n', 3, "factory"),
        ('[[models]]\nid = "mine"\nsource = "factory"\nname = "a:b"\ntier = ["ci"]\n', 5, "tiers"),
        ("[[models]\n", 1, ""),
        ('targets = ["onnxruntime"]\n', 1, "adapter:device:precision"),
        ('[environments.onnxruntime]\npython = ["python3"]\n', 2, "string"),
    ],
)
def test_a_broken_porting_toml_is_named_by_file_and_line(porting: Run, setting: Path, text: str, line: int, wanted: str) -> None:
    (setting / "porting.toml").write_text(text)
    for arguments in (("check", *ON), ("models", "list"), ("env", "list")):
        ended = porting(*arguments)
        assert ended.code == 2
        assert f"porting.toml:{line}: " in ended.complaint()
        assert wanted in ended.complaint()
    assert porting("models", "validate").code == 2


def test_an_interpreter_for_an_adapter_that_nobody_knows_is_named(porting: Run, setting: Path) -> None:
    (setting / "porting.toml").write_text('[environments.onnxruntim]\npython = "python3"\n')
    ended = porting("env", "list")
    assert ended.code == 2
    assert "Did you mean onnxruntime, " in ended.complaint()


def test_a_folder_that_is_not_empty_is_left_alone(porting: Run, setting: Path) -> None:
    (setting / "port").mkdir()
    (setting / "port" / "notes.txt").write_text("mine")
    ended = porting("convert", "small_models:narrow", "--to", "onnxruntime:cpu:fp32", "-o", "port")
    assert ended.code == 2
    assert "--force" in ended.complaint()
    assert [p.name for p in (setting / "port").iterdir()] == ["notes.txt"]


def test_limits_from_the_command_line_are_the_limits_of_jobs() -> None:
    from porting.cli.check import _options

    given = {
        "timeout": 5.0,
        "silence": 7.0,
        "memory": 2.0,
        "workers": 1,
        "threads": 1,
        "rerun": False,
        "rebuild": False,
        "bench": 0.0,
        "route": "",
    }
    limits = _options(given, None).limits
    assert (limits.seconds, limits.silent_seconds, limits.memory_bytes, limits.step_seconds) == (5.0, 7.0, 2 << 30, 0.0)
