"""Signed exports: a last line that names the digest of all bytes before it, and an Ed25519 signature of that.

Keys are those that ssh-keygen makes, or PEM. Trusted keys are written like OpenSSH does, one a line: `ssh-ed25519 AAAA... NAME`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from porting.errors import EnvironmentMissing, UsageError
from porting.store.records import canonical

_OPENS = b'{"digest":"sha256:'
"""How the last line begins, and no other: keys are sorted."""
_PURPOSE = b"porting export 1\n"
"""Signed with the digest, so that a signature of something else is none of this."""


@dataclass
class Hashed:
    """A stream that keeps the digest of what is written to it."""

    stream: IO[bytes]
    _hash: Any = field(default_factory=hashlib.sha256)

    def write(self, content: bytes) -> int:
        self._hash.update(content)
        return self.stream.write(content)

    def sign(self, key: Any) -> None:
        """Write the last line. key: what `private_key` gave."""
        self.stream.write(_line(self._hash.hexdigest(), key))


def private_key(path: Path) -> Any:
    """Read a private Ed25519 key, OpenSSH's or PEM. Raises UsageError."""
    serialization, ed25519 = _library()
    from cryptography.exceptions import UnsupportedAlgorithm

    try:
        content = path.read_bytes()
        ssh = b"OPENSSH PRIVATE KEY" in content
        key = (serialization.load_ssh_private_key if ssh else serialization.load_pem_private_key)(content, None)
    except OSError as error:
        raise UsageError(f"cannot read the key {path}: {error.strerror}.") from None
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:  # TypeError for one with a password
        raise UsageError(f"{path} is no key that can sign: {' '.join(str(error).split())[:120]}.", _MAKE) from None
    if not isinstance(key, ed25519.Ed25519PrivateKey):
        raise UsageError(f"{path} is no Ed25519 key.", _MAKE)
    return key


_MAKE = "Make one with ssh-keygen -t ed25519 -N '' -f FILE."


def trusted_keys(path: Path) -> dict[str, str]:
    """Public keys, base64 of their 32 bytes, to the names beside them. Raises UsageError."""
    serialization, _ = _library()
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot read the keys in {path}: {error}.") from None
    found = {}
    for number, line in enumerate(lines, 1):
        words = line.split(maxsplit=2)
        if not words or words[0].startswith("#"):
            continue
        try:
            if words[0] != "ssh-ed25519":
                raise ValueError(words[0])
            key = serialization.load_ssh_public_key(" ".join(words[:2]).encode())
            found[_public(key)] = words[2] if len(words) > 2 else words[1][-12:]
        except ValueError:
            raise UsageError(f"{path}, line {number}: no Ed25519 key as OpenSSH writes it.", "ssh-ed25519 AAAA... NAME") from None
    if not found:
        raise UsageError(f"{path} has no key.")
    return found


@dataclass
class Checked:
    """The lines of an export without the last one; whether that one is true is found out when they have been read."""

    lines: Iterable[bytes]
    name: str
    trusted: Mapping[str, str] | None = None
    """Keys one of which has to have signed; without any, a signed export only has to be whole."""
    signer: str = ""
    """Name of the trusted key, once all was read."""

    def __iter__(self) -> Iterator[bytes]:
        """Raises UsageError for other bytes than were signed, and where a trusted signature is wanted and lacking."""
        total, signed = hashlib.sha256(), False
        for line in self.lines:
            if line.startswith(_OPENS):
                self._check(line, total.hexdigest())
                signed = True
            elif signed and line.strip():
                raise UsageError(f"{self.name} goes on after its signature.", _NOTHING)
            else:
                total.update(line)
                yield line
        if self.trusted is not None and not signed:
            raise UsageError(f"{self.name} is not signed.", _NOTHING)

    def _check(self, line: bytes, digest: str) -> None:
        try:
            said: dict[str, str] = json.loads(line)
            if said["digest"] != f"sha256:{digest}":
                raise UsageError(f"{self.name} was changed after it was signed, or cut.", _NOTHING)
            if self.trusted is None:
                return
            if said["key"] not in self.trusted:
                raise UsageError(f"{self.name} was signed with a key that is not trusted: {said['key']}.", _NOTHING)
            valid = _verify(said["key"], said["signature"], digest)
        except (ValueError, KeyError, TypeError):  # binascii's error is a ValueError
            raise UsageError(f"{self.name} has a signature that cannot be read.", _NOTHING) from None
        if not valid:
            raise UsageError(f"{self.name} has a signature that is not of the key it names.", _NOTHING)
        self.signer = self.trusted[said["key"]]


_NOTHING = "Nothing was imported."


def _line(digest: str, key: Any) -> bytes:
    signature = base64.b64encode(key.sign(_PURPOSE + digest.encode())).decode()
    line = {"digest": f"sha256:{digest}", "key": _public(key.public_key()), "schema": 1, "signature": signature}
    return canonical(line).encode() + b"\n"


def _verify(public: str, signature: str, digest: str) -> bool:
    from cryptography.exceptions import InvalidSignature

    _, ed25519 = _library()
    try:
        key = ed25519.Ed25519PublicKey.from_public_bytes(base64.b64decode(public, validate=True))
        key.verify(base64.b64decode(signature, validate=True), _PURPOSE + digest.encode())
    except (InvalidSignature, binascii.Error):
        return False
    return True


def _public(key: Any) -> str:
    return base64.b64encode(key.public_bytes_raw()).decode()


def _library() -> tuple[Any, Any]:
    """What of `cryptography` is used. Raises EnvironmentMissing."""
    try:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ImportError:
        raise EnvironmentMissing("signatures need the package cryptography.", "pip install 'porting[signing]'") from None
    return serialization, ed25519
