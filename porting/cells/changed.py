"""Which models and adapters a change can affect: their content keys here beside those at another revision of the repository.

The keys at the other revision come from that revision itself, checked out aside, so that a change of a factory's code, of a
catalog file, of a package's version or of the toolkit (in its own checkout) all count, and nothing else does.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from porting.errors import UsageError

if TYPE_CHECKING:
    from porting.api import Setting
    from porting.types import ModelSpec, Target

MODEL, ADAPTER = "model", "adapter"


@dataclass(frozen=True)
class Keys:
    """Content keys by id."""

    models: Mapping[str, str]
    adapters: Mapping[str, str]

    def since(self, before: Keys) -> Keys:
        """Those that are new or not what they were."""
        return Keys(_differing(self.models, before.models), _differing(self.adapters, before.adapters))


def keys_here(setting: Setting) -> Keys:
    """Keys of every model and adapter as the files are now."""
    from porting import registry, sources
    from porting.cells import keys
    from porting.errors import PortingError

    models = {}
    for spec in setting.catalog:
        try:
            depends = sources.source(spec.source).fingerprint(spec)
        except PortingError as error:  # building the model will say it
            depends = {"unknown": str(error)}
        models[spec.id] = keys.bundle_key(spec, depends)
    return Keys(models, {name: keys.judging_key(registry.fingerprint(name)) for name in registry.names()})


def keys_at(revision: str, folder: Path) -> Keys:
    """Keys as they are at a revision of the git repository that `folder` lies in. Raises UsageError without such a revision."""
    with _checked_out(revision, folder) as (top, tree):
        place = tree / folder.resolve().relative_to(top)
        line = [sys.executable, "-m", "porting", "models", "keys", "--format", "json"]
        said = subprocess.run(line, cwd=place, env=_environment(top, tree), capture_output=True, text=True, check=False)
    if said.returncode:
        last = (said.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise UsageError(f"the keys at {revision} cannot be told: {last}", "Check the whole tier instead.")
    rows = json.loads(said.stdout)
    return Keys(*({row["id"]: row["key"] for row in rows if row["kind"] == kind} for kind in (MODEL, ADAPTER)))


def affected(
    setting: Setting, revision: str, specs: Sequence[ModelSpec], targets: Sequence[Target]
) -> tuple[list[ModelSpec], list[Target]]:
    """The models and targets that a change since `revision` can affect: changed models on every target, and every model on the
    targets of a changed adapter. Models that the catalog does not know are taken for changed. Raises UsageError."""
    now = keys_here(setting)
    changed = now.since(keys_at(revision, setting.workspace.root))
    models = [spec for spec in specs if spec.id in changed.models or spec.id not in now.models]
    at = [target for target in targets if target.adapter in changed.adapters]
    if at:
        return list(specs), list(targets) if models else at
    return models, list(targets) if models else []


@contextlib.contextmanager
def _checked_out(revision: str, folder: Path) -> Iterator[tuple[Path, Path]]:
    """The top of the repository that `folder` lies in, and a folder with its files as they are at a revision."""
    top = Path(_git(folder, "rev-parse", "--show-toplevel")).resolve()
    commit = _git(folder, "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}", asked=revision)
    with tempfile.TemporaryDirectory(prefix="porting-") as aside:
        tree = Path(aside) / "tree"
        _git(top, "worktree", "add", "--quiet", "--detach", str(tree), commit)
        try:
            yield top, tree
        finally:
            _git(top, "worktree", "remove", "--force", str(tree))


def _git(folder: Path, *words: str, asked: str = "") -> str:
    try:
        said = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise UsageError("git is not here, so nothing can be told about a change.") from None
    if said.returncode:
        reason = f"no revision {asked!r}" if asked else (said.stderr.strip().splitlines() or ["no repository"])[-1]
        raise UsageError(f"{folder}: {reason}.", "Name a commit, a branch or a tag of the repository that this folder lies in.")
    return said.stdout.strip()


def _environment(top: Path, tree: Path) -> dict[str, str]:
    """Whatever is imported from the repository, a package in `src` for instance or the toolkit itself in its own, comes from the
    revision, too."""
    import porting

    places = [Path(entry).resolve() for entry in (*porting.__path__[:1], *filter(None, sys.path))]
    places[0] = places[0].parent
    there = [tree / place.relative_to(top) for place in places if place.is_relative_to(top)]
    path = [*(str(place) for place in there if place.is_dir()), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, path))}


def _differing(now: Mapping[str, str], before: Mapping[str, str]) -> dict[str, str]:
    return {name: key for name, key in now.items() if before.get(name) != key}
