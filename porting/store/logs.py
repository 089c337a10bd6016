"""Logs as the store keeps them: the head and the tail of a long one, compressed, under the digest of the whole."""

from __future__ import annotations

import base64
import binascii
import zlib
from dataclasses import dataclass
from typing import Any

from porting.serialization import Json
from porting.types import SCHEMA
from porting.workspace import digest_bytes

LIMIT = 2 << 20
"""Bytes that are kept of one log."""

_GAP_LIMIT = 100  # bytes of the line that stands for what was left out


@dataclass(frozen=True)
class Log:
    """One log, packed."""

    digest: str
    """Of the whole log, `sha256:...`."""
    size: int
    """Bytes of the whole log."""
    packed: bytes
    """What is kept, compressed."""

    def columns(self) -> dict[str, Any]:
        return {"digest": self.digest, "bytes": self.size, "zlib": self.packed}

    def to_json(self) -> Json:
        """A line of an export."""
        return {"schema": SCHEMA, "log": self.digest, "bytes": self.size, "zlib": base64.b64encode(self.packed).decode()}


def pack(content: bytes) -> Log:
    """Pack a log of any length."""
    return Log(digest_bytes(content), len(content), zlib.compress(_capped(content), 6))


def _capped(content: bytes) -> bytes:
    if len(content) <= LIMIT:
        return content
    half = LIMIT // 2
    return content[:half] + b"\n[... %d bytes left out ...]\n" % (len(content) - 2 * half) + content[-half:]


def text_of(packed: bytes) -> str:
    """What a person reads; bytes that are no UTF-8 are replaced."""
    return zlib.decompress(packed).decode("utf-8", "replace")


def is_log(data: Json) -> bool:
    """Whether a line of an export is a log; otherwise it is a result."""
    return isinstance(data, dict) and "zlib" in data


def log_from(data: Json) -> Log:
    """Read a line of an export. Raises ValueError when it is damaged, or more than a log can be."""
    digest, size, encoded = data.get("log"), data.get("bytes"), data["zlib"]
    if not (isinstance(digest, str) and isinstance(encoded, str) and type(size) is int and 0 <= size < 2**63):
        raise ValueError("is a log without digest, size or content")
    try:
        packed = base64.b64decode(encoded, validate=True)
        content = _unpacked(packed)
    except (binascii.Error, zlib.error) as error:
        raise ValueError(f"has a log that cannot be unpacked: {error}") from None
    if size <= LIMIT and (len(content) != size or digest_bytes(content) != digest):
        raise ValueError(f"has a log that is not the one its digest names: {digest[:80]}")
    return Log(digest, size, packed)


def _unpacked(packed: bytes) -> bytes:
    unpacker = zlib.decompressobj()
    content = unpacker.decompress(packed, LIMIT + _GAP_LIMIT)  # a small line may not become gigabytes
    if unpacker.unconsumed_tail or not unpacker.eof or unpacker.unused_data:
        raise ValueError("has a log that is cut off or longer than a log can be")
    return content
