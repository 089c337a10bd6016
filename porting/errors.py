"""One small tree of errors: each class has an exit code, each error says what to do next."""

from __future__ import annotations

from typing import ClassVar


class PortingError(Exception):
    """Base of every error a person is meant to see. message: one sentence; hint: what to do next."""

    exit_code = 1
    verdict: ClassVar[tuple[str, str]] = ("fail", "exception")
    """What a cell comes to that meets this error: the values of an Outcome and a Cause. Words, for every command imports this."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


class UsageError(PortingError):
    """The request cannot be understood or does not fit: exit code 2."""

    exit_code = 2
    verdict = ("invalid", "usage")


def near_names(name: str, known: list[str]) -> list[str]:
    """Up to three names that may have been meant: `bert` and `brt` mean `transformers/bert`, too."""
    import difflib

    whole = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    last = {other.rpartition("/")[2]: other for other in reversed(known)}
    ends = [last[end] for end in difflib.get_close_matches(name, last, n=3, cutoff=0.5)]
    return list(dict.fromkeys([*ends, *whole] if "/" not in name else whole))[:3]


class UnknownName(UsageError):
    """A model, target, adapter or source that nobody knows. Suggests near names."""

    def __init__(self, kind: str, name: str, known: list[str], hint: str = "") -> None:
        near = near_names(name, known)
        meant = f"Did you mean {', '.join(near)}?" if near else ""
        super().__init__(f"unknown {kind} {name!r}.", f"{meant} {hint}".strip())


class CatalogError(UsageError):
    """A catalog or porting.toml entry that is not valid; the message names file and line."""


class ModelError(UsageError):
    """What was given as a model is none: wrong format, truncated, raises when built, inputs that do not fit."""


class UntrustedError(UsageError):
    """A file that can run code when loaded, or that reaches outside its folder, without `--trust`."""

    verdict = ("invalid", "untrusted")


class InfrastructureError(PortingError):
    """The rig failed, not the model: exit code 3."""

    exit_code = 3
    verdict = ("fail", "harness")


class StoreError(InfrastructureError):
    """The result store cannot be opened, read or written."""


class DiskError(InfrastructureError):
    """No space, no permission, a read-only folder."""

    verdict = ("fail", "disk")


class BundleError(InfrastructureError):
    """A bundle on disk is damaged or was made by a newer version."""


class EnvironmentMissing(InfrastructureError):
    """The interpreter or package a backend needs is not here; the hint has the command that brings it."""

    verdict = ("unavailable", "missing_dependency")
