"""A coordinator's side of a cluster without a shared folder: its run's files and its bundles over HTTP, to whoever has the key.

Every request and every answer that is not named by its digest is signed with the run's key, which is never sent.

    GET  /depot/NAME            a file of the run
    PUT  /depot/NAME            results, facts and what a job is at
    GET  /bundle/KEY            bundle.json; 404: make it and put it here; 423: another node is making it
    GET  /bundle/KEY/FILE       a file that bundle.json names
    PUT  /bundle/KEY/FILE       the same, bundle.json last
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import re
import shutil
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BufferedIOBase
from pathlib import Path
from typing import IO, Any
from urllib.parse import unquote

from porting.bundles.bundle import FILE
from porting.errors import UsageError
from porting.launch import depot as depots
from porting.workspace import digest_file

SIGNED = "X-Porting-Signature"
DIGEST = "X-Porting-Digest"
"""SHA-256 of a body, hexadecimal: what is signed instead of the body."""
CLAIM_SECONDS = 900.0
"""How long a node may take to make a bundle before another one is let try."""
_KEY = re.compile(r"[0-9a-f]{8,64}")
_WRITTEN = (depots.RESULTS, depots.STATUS, depots.FACTS, depots.BROKEN)
"""What nodes may write."""


def signature(key: str, *parts: str) -> str:
    """Of a request (method, path, digest of the body) or of an answer (the request's signature, digest of the body)."""
    return hmac.new(key.encode(), "\n".join(parts).encode(), hashlib.sha256).hexdigest()


class Served:
    """What is served."""

    def __init__(self, folder: Path, bundles: Path, key: str) -> None:
        self.folder, self.bundles, self.key = folder, bundles, key
        self._claims: dict[str, float] = {}
        self._lock = threading.Lock()

    def file(self, path: str, writing: bool) -> Path | None:
        """The file that a path means; None for one that nobody may ask for."""
        head, _, rest = path.lstrip("/").partition("/")
        parts = rest.split("/")
        if any(part in ("", "..") or part.startswith(".") for part in parts):
            return None
        if head == "depot":
            return self.folder / rest if not writing or parts[0] in _WRITTEN else None
        if head != "bundle" or not _KEY.fullmatch(parts[0]):
            return None
        folder = self.bundles / parts[0]
        if writing:
            return None if (folder / FILE).exists() else folder / "/".join(parts[1:] or [FILE])
        return folder / "/".join(parts[1:] or [FILE])

    def claim(self, path: str) -> bool:
        """Whether the caller is to make a bundle that is not here."""
        with self._lock:
            mine = time.monotonic() - self._claims.get(path, -CLAIM_SECONDS) >= CLAIM_SECONDS
            if mine:
                self._claims[path] = time.monotonic()
            return mine


class _Handler(BaseHTTPRequestHandler):
    depot: Served
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        path = unquote(self.path)
        if not self._is_signed(hashlib.sha256(b"").hexdigest()):
            return self._answer(403)
        found = self.depot.file(path, writing=False)
        if found is None or not found.is_file():
            whole = found is not None and path.count("/") == 2 and path.startswith("/bundle/")
            return self._answer(423 if whole and not self.depot.claim(path) else 404)
        with open(found, "rb") as file:
            digest = digest_file(found).removeprefix("sha256:")
            self._answer(200, digest, found.stat().st_size, file)
        return None

    def do_PUT(self) -> None:
        size, digest = int(self.headers.get("Content-Length", "0")), self.headers.get(DIGEST, "")
        found = self.depot.file(unquote(self.path), writing=True) if self._is_signed(digest) else None
        if found is None:
            self.close_connection = True  # the body is not read
            return self._answer(403)
        found.parent.mkdir(parents=True, exist_ok=True)
        part = found.with_name(f".{found.name}.{threading.get_ident()}.part")
        try:
            with open(part, "wb") as file:
                _copy(self.rfile, file, size)
            if digest_file(part) != f"sha256:{digest}":
                return self._answer(400)
            part.replace(found)
        except OSError:
            self.close_connection = True
            return self._answer(507)
        finally:
            part.unlink(missing_ok=True)
        return self._answer(204)

    def _is_signed(self, digest: str) -> bool:
        wanted = signature(self.depot.key, self.command, self.path, digest)
        return hmac.compare_digest(wanted, self.headers.get(SIGNED, ""))

    def _answer(self, status: int, digest: str = "", size: int = 0, body: IO[bytes] | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(size))
        if digest:
            self.send_header(DIGEST, digest)
            self.send_header(SIGNED, signature(self.depot.key, self.headers[SIGNED], digest))
        self.end_headers()
        if body:
            shutil.copyfileobj(body, self.wfile, 1 << 20)


def _copy(source: BufferedIOBase, place: IO[bytes], size: int) -> None:
    while size > 0:
        block = source.read(min(size, 1 << 20))
        if not block:
            raise OSError("the sender ended early")
        place.write(block)
        size -= len(block)


@contextlib.contextmanager
def served(address: str, depot: Served) -> Iterator[str]:
    """Serve at `HOST` or `HOST:PORT`, a name by which nodes reach this machine. Yields the URL. Raises UsageError."""
    host, _, port = address.partition(":")
    if port and not port.isdigit():
        raise UsageError(f"--serve {address!r} is no HOST or HOST:PORT.", "Name this machine as the nodes reach it.")
    handler = type("Handler", (_Handler,), {"depot": depot})
    try:
        server = ThreadingHTTPServer((host, int(port or 0)), handler)
    except (OSError, OverflowError) as error:
        raise UsageError(f"cannot serve at {address!r}: {error}.", "Name this machine as the nodes reach it.") from None
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.2}, daemon=True)
    thread.start()
    try:
        yield f"http://{host}:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def manifest(content: bytes) -> list[str]:
    """The files that a bundle.json names."""
    return sorted(json.loads(content)["files"])
