"""The latest result of every cell, kept up to date while results are added, so that a matrix is read and not computed.

"Latest" goes by when a result started, then by content id: never by when it came in, so that merging in any order gives
the same matrix.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, bindparam, select, tuple_

from porting.store import tables
from porting.store.records import Columns

Key = tuple[str, str]
"""Model and target."""

_LIGHT = [column for column in tables.result.c if column.name not in ("id", "json")]


def update(connection: Connection, added: Sequence[Columns]) -> None:
    """Bring the cells of results that were just added up to date."""
    keys = {(row["model"], row["target"]) for row in added}
    known = _load(connection, keys)
    cells = dict(known)
    late = set()
    for row in sorted(added, key=_order):
        key = (row["model"], row["target"])
        if key in known and _order(row) < _order(known[key]):
            late.add(key)
        else:
            cells[key] = _follow(cells.get(key), row)
    _save(connection, [cell for key, cell in cells.items() if key not in late], set(known))
    for model, target in late:
        rebuild(connection, model, target)


def rebuild(connection: Connection, model: str, target: str) -> None:
    """Work out a cell that is there from its whole history."""
    _save(connection, states(connection, model, target)[-1:], {(model, target)})


def states(connection: Connection, model: str, target: str) -> list[Columns]:
    """The cell as it was after each of its results, the oldest first."""
    result = tables.result.c
    query = select(*_LIGHT).where(result.model == model, result.target == target).order_by(result.moment, result.record)
    found: list[Columns] = []
    for row in connection.execute(query).mappings():
        found.append(_follow(found[-1] if found else None, dict(row)))
    return found


def all_states(connection: Connection, keys: Sequence[Key]) -> dict[Key, list[Columns]]:
    """The same for several cells. Where they are many, all results are read at once."""
    if len(keys) <= FEW:
        return {key: states(connection, *key) for key in keys}
    result = tables.result.c
    found: dict[Key, list[Columns]] = {key: [] for key in keys}
    for row in connection.execute(select(*_LIGHT).order_by(result.moment, result.record)).mappings():
        line = found.get((row["model"], row["target"]))
        if line is not None:
            line.append(_follow(line[-1] if line else None, dict(row)))
    return found


FEW = 2500
"""Cells from which on it is cheaper to read all: a cell takes a millisecond, a million results half a minute."""


def _order(row: Columns) -> tuple[int, str]:
    return row["moment"], row["record"]


def _follow(cell: Columns | None, row: Columns) -> Columns:
    """The cell after `row`, which is newer."""
    if cell is None:
        return {**row, "previous": None, "since": row["started"]}
    if cell["outcome"] == row["outcome"]:
        return {**row, "previous": cell["previous"], "since": cell["since"]}
    return {**row, "previous": cell["outcome"], "since": row["started"]}


def _load(connection: Connection, keys: Iterable[Key]) -> dict[Key, Columns]:
    cell = tables.cell.c
    query = select(tables.cell).where(tuple_(cell.model, cell.target).in_(sorted(keys)))
    return {(row["model"], row["target"]): dict(row) for row in connection.execute(query).mappings()}


def _save(connection: Connection, cells: list[Columns], known: set[Key]) -> None:
    fresh = [cell for cell in cells if (cell["model"], cell["target"]) not in known]
    if fresh:
        connection.execute(tables.cell.insert(), fresh)
    changed = [
        {**cell, "_model": cell["model"], "_target": cell["target"]} for cell in cells if (cell["model"], cell["target"]) in known
    ]
    if changed:
        connection.execute(_UPDATE, changed)


_UPDATE = tables.cell.update().where(tables.cell.c.model == bindparam("_model"), tables.cell.c.target == bindparam("_target"))
