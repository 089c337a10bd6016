"""A node's side of a cluster without a shared folder: the coordinator's files and bundles over HTTP; see porting.launch.serve."""

from __future__ import annotations

import functools
import hashlib
import hmac
import http.client
import io
import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, TypeVar
from urllib.parse import quote, urlsplit

from porting.bundles.bundle import FILE, read_bundle
from porting.errors import InfrastructureError
from porting.launch.serve import DIGEST, SIGNED, manifest, signature
from porting.workspace import disk_errors

PATIENCE_SECONDS = 300.0
"""How long the coordinator may be away."""
WAIT_SECONDS = 2.0
T = TypeVar("T")
_NOTHING = hashlib.sha256(b"").hexdigest()


class Remote:
    """The depot of a coordinator that is reached by URL."""

    def __init__(self, url: str, key: str) -> None:
        self._place, self._key = urlsplit(url).netloc, key

    def read(self, name: str) -> bytes:
        status, content = self._get(f"/depot/{name}")
        if status != 200:
            raise FileNotFoundError(name)
        return content

    def write(self, name: str, content: bytes) -> None:
        status = self._put(f"/depot/{name}", hashlib.sha256(content).hexdigest(), len(content), lambda: io.BytesIO(content))
        if status != 204:
            raise InfrastructureError(f"the coordinator at {self._place} does not take {name}: HTTP status {status}.")

    # ---- bundles

    def fetch(self, key: str, folder: Path) -> bool:
        """Get a bundle into an empty folder, bundle.json last; whether there is one. Where there is none the caller is to make
        it and `share` it; while another node makes it this one waits."""
        while True:
            status, content = self._get(f"/bundle/{key}")
            if status != 423:
                break
            time.sleep(WAIT_SECONDS)
        if status != 200:
            return False
        for name in manifest(content):
            place = folder / name
            with disk_errors(place):
                place.parent.mkdir(parents=True, exist_ok=True)
                self._into(f"/bundle/{key}/{name}", place)
        (folder / FILE).write_bytes(content)
        read_bundle(folder)  # every digest is checked
        return True

    def share(self, key: str, folder: Path) -> None:
        """Put a bundle that was made here where other nodes get it; one that is there by now stays."""
        content = (folder / FILE).read_bytes()
        for name, digest in sorted(json.loads(content)["files"].items()):
            self._put(
                f"/bundle/{key}/{name}",
                digest.removeprefix("sha256:"),
                (folder / name).stat().st_size,
                functools.partial((folder / name).open, "rb"),
            )
        self._put(f"/bundle/{key}/{FILE}", hashlib.sha256(content).hexdigest(), len(content), lambda: io.BytesIO(content))

    # ---- requests

    def _get(self, path: str) -> tuple[int, bytes]:
        return self._patiently(lambda: self._answer(path, lambda answer: answer.read()))

    def _into(self, path: str, place: Path) -> None:
        def write(answer: http.client.HTTPResponse) -> bytes:
            with open(place, "wb") as file:
                shutil.copyfileobj(answer, file, 1 << 20)
            return b""

        status, _ = self._patiently(lambda: self._answer(path, write, named=True))
        if status != 200:
            raise InfrastructureError(f"{self._place} has a part of a bundle only: {path} is not there.", "Run it again.")

    def _answer(self, path: str, read: Callable[[http.client.HTTPResponse], bytes], named: bool = False) -> tuple[int, bytes]:
        """One GET. named: by a digest that is checked later. Raises OSError for an answer that is not the coordinator's."""
        mine = signature(self._key, "GET", quote(path), _NOTHING)
        connection = http.client.HTTPConnection(self._place, timeout=60)
        try:
            connection.request("GET", quote(path), headers={SIGNED: mine})
            answer = connection.getresponse()
            content = read(answer) if answer.status == 200 else answer.read()
            digest = answer.headers.get(DIGEST, "")
            genuine = hmac.compare_digest(signature(self._key, mine, digest), answer.headers.get(SIGNED, ""))
            if answer.status == 200 and not (genuine and (named or hashlib.sha256(content).hexdigest() == digest)):
                raise OSError("an answer that is not signed with this run's key")
            return self._status(answer.status), content
        finally:
            connection.close()

    def _put(self, path: str, digest: str, size: int, body: Callable[[], BinaryIO]) -> int:
        def put() -> int:
            headers = {
                SIGNED: signature(self._key, "PUT", quote(path), digest),
                DIGEST: digest,
                "Content-Length": str(size),
            }
            connection = http.client.HTTPConnection(self._place, timeout=60)
            try:
                with body() as content:
                    connection.request("PUT", quote(path), body=content, headers=headers)
                    return self._status(connection.getresponse().status)
            finally:
                connection.close()

        return self._patiently(put)

    def _status(self, status: int) -> int:
        if status == 507:
            raise OSError("no space left where the coordinator is")
        return status

    def _patiently(self, call: Callable[[], T]) -> T:
        """Call until the coordinator answers. Raises InfrastructureError when it is away for too long."""
        until = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                return call()
            except (OSError, http.client.HTTPException) as error:
                if time.monotonic() > until:
                    raise InfrastructureError(f"the coordinator at {self._place} does not answer: {error}.") from None
            time.sleep(WAIT_SECONDS)
