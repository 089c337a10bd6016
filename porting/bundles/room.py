"""Room for bundles while a run goes on: each may go when its last cell is worked, and the cache keeps to its limit."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from porting.bundles import cache
from porting.bundles.bundler import Bundler


class Room:
    """Lets bundles go as soon as their last cell is worked, and keeps the cache within its limit while a run goes on."""

    EVERY = 60.0
    """Seconds between two looks at the disk; each costs a stat a file."""

    def __init__(self, folder: Path, bundler: Bundler, bundle_keys: Iterable[str]) -> None:
        """Raises UsageError for a limit that is none."""
        self._folder, self._bundler = folder, bundler
        self._left = Counter(bundle_keys)
        self._looked = -self.EVERY
        cache.limit_of(folder, ())  # a limit that is none is told before the work

    def done(self, bundle_key: str) -> None:
        """Say that one piece of work on a bundle is done."""
        self._left[bundle_key] -= 1
        if self._left[bundle_key]:
            return
        self._bundler.release(bundle_key)
        if time.monotonic() - self._looked >= self.EVERY:
            cache.prune(self._folder)
            self._looked = time.monotonic()
