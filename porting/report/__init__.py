"""What a person or a program reads about a run: terminal table, Markdown, JSON, HTML folder. Computes no verdict, opens no store.

Every renderer takes a `Matrix` and lives in a module of its own: `table`, `markdown`, `json_`, `html`.
"""

from porting.report.counts import Reason, Tally, reasons, tally
from porting.report.matrix import Matrix, ModelRow, TargetColumn

__all__ = ["Matrix", "ModelRow", "Reason", "TargetColumn", "Tally", "reasons", "tally"]
