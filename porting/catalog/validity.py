"""What is wrong in catalog files and expectation files, without building anything.

Apart from the catalog, because expectations know the catalog and the catalog knows nothing of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from porting.catalog import catalog_files, duplicate, files_in, read_all
from porting.catalog.file import Problem
from porting.expect.file import check_files, is_expectations
from porting.types import ModelSpec


def validate(paths: Sequence[Path] | None = None) -> list[Problem]:
    """Return everything that is wrong in these files or folders (`porting.toml` and expectation files too), or in the catalog
    that comes with the toolkit, in order of file and line."""
    files = catalog_files() if paths is None else files_in(paths)
    expectations = [file for file in files if is_expectations(file)]
    specs, problems = read_all(file for file in files if file not in expectations)
    problems += check_files(expectations)
    seen: dict[str, ModelSpec] = {}
    for spec in specs:
        if spec.id in seen:
            problems.append(duplicate(spec, seen[spec.id]))
        seen.setdefault(spec.id, spec)
    return sorted(problems, key=lambda problem: (problem.file, problem.line))
