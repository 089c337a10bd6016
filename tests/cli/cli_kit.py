"""What the tests of the command line share."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass
class Ended:
    """A command that ended."""

    code: int
    out: str
    err: str

    def json(self) -> list[dict[str, Any]]:
        """Standard output, which has to be one JSON array and nothing else."""
        value = json.loads(self.out)
        assert isinstance(value, list)
        return value

    def complaint(self) -> str:
        """The one line that says what is wrong; there may be progress besides, but no traceback and no second complaint."""
        (line,) = self.complaints()
        return line

    def complaints(self) -> list[str]:
        assert "Traceback" not in self.err, self.err
        return [line for line in self.err.splitlines() if line.startswith("Error: ")]


Run = Callable[..., Ended]
