"""Finding out why a model is wrong or fails on a target, and what would help.

locate: which operators are wrong by themselves. reduce: the smallest case that still fails in the same way. unlock: which
operator, dtype, shape or bug stands between how many models and how many targets.
"""
