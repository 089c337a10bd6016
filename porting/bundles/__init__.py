"""Bundles: a model's reference, its exported forms and its input cases, made once and the same for every backend."""
