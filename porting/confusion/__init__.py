"""What the pass rule catches: wrong answers and faults, planted on purpose, and what becomes of them.

answers: planted in the answer. faults: planted inside the model, in a job of its own. survey: both, over many models. table:
what is counted. The rule itself is porting.numerics.compare's; `porting numerics` is the command.
"""
