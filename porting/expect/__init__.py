"""Expectations: accepted results, one TOML file a target, and the gate that judges a run against them.

`entry` has the nouns, `file` reads, `versions` compares versions, `judge` judges, `accept` says what would have to change and
`edit` changes the text of a file. Nothing here runs a model or writes a report.
"""

from porting.expect.entry import Expectation, Gate, Judged, Judgement, Stale

__all__ = ["Expectation", "Gate", "Judged", "Judgement", "Stale"]
