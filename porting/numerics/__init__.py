"""Numerics: how far outputs are from the truth, how far they may be, and whether generated tokens are the same."""
