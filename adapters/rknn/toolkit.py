"""rknn-toolkit2 as functions that raise. Its own answer with 0, -1 or None, print why, and write files where they are started."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import tempfile
import warnings
from pathlib import Path
from typing import IO, Any, Iterator, Sequence, Tuple

COLOUR = re.compile(r"\x1b\[[\d;]*m")
HARMLESS = re.compile(r"Unkown op target: 0|rknn-toolkit2 version")
"""Printed as errors in runs that go well."""
COMPLAINT = re.compile(r"^E (?:RKNN: \[[\d:.]+\] )?(.*)$", re.MULTILINE)

DISABLED_RULES = (
    "swap_reshape_branch_elements",  # goes round for ever: rotary embeddings
    "cvt_and_to_fp_mul",  # goes round for ever: attention masks
    "fuse_slice_slice_concat_to_conv",  # SIGSEGV: cosine and sine of a time step, side by side
)
"""Rewriting rules that the compiler does not come back from; the graph is right without them."""


class RknnError(RuntimeError):
    """A call of the toolkit failed. The message is what it printed or raised, without its traceback."""


class Printed:
    """What goes to stdout and stderr of the process, that of compiled code too."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def text(self) -> str:
        """All that was printed so far, without colours."""
        _flush()
        return COLOUR.sub("", os.pread(self._file.fileno(), os.fstat(self._file.fileno()).st_size, 0).decode(errors="replace"))


@contextlib.contextmanager
def printed() -> Iterator[Printed]:
    """Take what is printed inside, and hand it on to stderr afterwards: for the log."""
    _flush()
    kept = [(number, os.dup(number)) for number in (1, 2)]
    with tempfile.TemporaryFile() as file:
        taken = Printed(file)
        for number, _ in kept:
            os.dup2(file.fileno(), number)
        try:
            yield taken
        finally:
            text = taken.text()
            for number, copy in kept:
                os.dup2(copy, number)
                os.close(copy)
            print(text, file=sys.stderr)


def _flush() -> None:
    sys.stdout.flush()
    sys.stderr.flush()


def import_toolkit() -> Any:
    """The toolkit's class; seconds, most of them for torch."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of pkg_resources
        from rknn.api import RKNN
    return RKNN


def knows(chip: str) -> str:
    """Why the toolkit does not compile for a chip; empty where it does."""
    with printed():
        try:
            import_toolkit()().config(target_platform=chip)
        except Exception as error:  # noqa: BLE001 -- it raises what it has printed
            return said(error)
    return ""


def build(model: Path, chip: str, calibration: Sequence[Sequence[Path]], scratch: Path) -> Tuple[Any, str]:
    """Compile an ONNX file. Returns the toolkit's object, ready to export or to simulate, and what the compiler printed.

    calibration: an .npy file an input, for each sample; quantises to int8 when there is any. scratch: a folder for its own files.
    Raises RknnError.
    """
    with printed() as taken:
        rknn = import_toolkit()(verbose=True)
        _call(taken, rknn.config, target_platform=chip, disable_rules=list(DISABLED_RULES))
        _call(taken, rknn.load_onnx, model=str(model))
        dataset = None
        if calibration:
            dataset = scratch / "dataset.txt"
            dataset.write_text("".join(" ".join(str(path) for path in sample) + "\n" for sample in calibration))
        with _inside(scratch):
            _call(taken, rknn.build, do_quantization=bool(calibration), dataset=str(dataset) if dataset else None)
        return rknn, taken.text()


def export(rknn: Any, path: Path) -> None:
    """Write what was built as a .rknn file. Raises RknnError."""
    with printed() as taken:
        _call(taken, rknn.export_rknn, str(path))
    if not path.is_file() or not path.stat().st_size:
        raise RknnError("the toolkit wrote no .rknn file")


def start_simulator(rknn: Any) -> None:
    """Ready the simulator of what was built; nothing else can be simulated. Raises RknnError."""
    with printed() as taken:
        _call(taken, rknn.init_runtime)


def infer(rknn: Any, values: Sequence[Any]) -> Sequence[Any]:
    """Run the simulator. values: arrays in the order of the model's inputs. Raises RknnError."""
    layouts = ["nchw" if value.ndim == 4 else "undefined" for value in values]
    with printed() as taken:
        try:
            answers = rknn.inference(inputs=list(values), data_format=layouts)
        except Exception as error:  # noqa: BLE001 -- it raises whatever it stumbles over
            raise RknnError(said(error)) from None  # the error has a traceback for a message
    if answers is None:
        raise RknnError(complaint(taken.text()) or "the simulator gave no answer")
    return list(answers)


def _call(taken: Printed, function: Any, *args: Any, **options: Any) -> None:
    """Call what answers 0 when all went well."""
    try:
        code = function(*args, **options)
    except Exception as error:  # noqa: BLE001 -- it raises whatever it stumbles over
        raise RknnError(said(error)) from None  # the error has a traceback for a message
    if code != 0:
        raise RknnError(complaint(taken.text()) or f"{function.__name__} answered {code}")


def said(error: BaseException) -> str:
    """The last line of an exception's message: before it stands a traceback of compiled code."""
    lines = [line for line in COLOUR.sub("", str(error)).splitlines() if line.strip()]
    return re.sub(r"^(ValueError|RuntimeError): ", "", lines[-1].strip()) if lines else type(error).__name__


def complaint(text: str) -> str:
    """The last line that the toolkit printed as an error and meant as one; empty where there is none."""
    found = [line.strip() for line in COMPLAINT.findall(text) if line.strip() and not HARMLESS.search(line)]
    return found[-1] if found else ""


@contextlib.contextmanager
def _inside(folder: Path) -> Iterator[None]:
    """The compiler writes its steps into the current folder."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)
