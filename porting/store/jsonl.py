"""Results as JSON Lines: one canonical record a line, then one line a log. The same records always make the same bytes.

Reading checks every line before anything is stored; storing is porting.store.store's.
"""

from __future__ import annotations

import codecs
import json
import lzma
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Literal, NoReturn

from porting.errors import UsageError
from porting.store.logs import Log, is_log, log_from
from porting.store.records import Record, newer_schema, record_from

if TYPE_CHECKING:
    from porting.store.store import Imported, Store


def read_lines(lines: Iterable[bytes], name: str) -> Iterator[Record | Log]:
    """Read an export line by line; blank lines are passed over. name: what the input is called in messages.

    Raises UsageError that names the line: not UTF-8, not JSON, cut off, NaN, a value that a record cannot have, a record
    of a newer version.
    """
    for number, line in enumerate(lines, 1):
        if number == 1:
            line = line.removeprefix(codecs.BOM_UTF8)
        if not line.strip():
            continue
        try:
            entry = _read_line(line)
        except _Newer:
            hint = "Update porting; nothing was imported."
            raise UsageError(f"{name}, line {number}: the record was written by a newer version of porting.", hint) from None
        except (ValueError, RecursionError) as error:
            hint = "Nothing was imported. Mend or remove the line, or export again."
            raise UsageError(f"{name}, line {number}: {_reason(line, error)}.", hint) from None
        yield entry


class _Newer(Exception):
    pass


def _read_line(line: bytes) -> Record | Log:
    data = json.loads(line.decode(), parse_constant=_refuse_constant)
    if newer_schema(data):
        raise _Newer
    return log_from(data) if is_log(data) else record_from(data)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"has the number {name}, which is not finite")


def _reason(line: bytes, error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "the record is nested too deeply"
    if isinstance(error, UnicodeDecodeError):
        return f"not UTF-8 at byte {error.start + 1}"
    if isinstance(error, json.JSONDecodeError):
        return f"not JSON at character {error.pos + 1}" if line.endswith(b"\n") else "the last line is cut off"
    return f"the record {error}"


# ---- files --------------------------------------------------------------------------------------------------------


def opened(file: Path, mode: Literal["rb", "wb"]) -> IO[bytes]:
    """A file, compressed where its name says so. Raises OSError."""
    return lzma.open(file, mode) if file.suffix == ".xz" else open(file, mode)


def import_file(store: Store, file: Path, trusted: Mapping[str, str] | None = None) -> tuple[Imported, str]:
    """Add the results and logs of a file to a store, all or none. trusted: names by key, one of which has to have signed it.
    Returns what was added, and who signed. Raises UsageError for a file that cannot be read, is damaged, or was changed after it
    was signed."""
    from porting.store.signing import Checked

    try:
        stream = opened(file, "rb")
    except OSError as error:
        raise UsageError(f"cannot read {file}: {error.strerror}.") from error
    try:
        with stream:
            lines = Checked(stream, str(file), trusted)
            return store.import_jsonl(lines, lines.name), lines.signer
    except (lzma.LZMAError, EOFError) as error:
        raise UsageError(f"{file} is not compressed by xz, or was cut off: {error}.", "Nothing was imported.") from error
