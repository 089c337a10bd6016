"""Environments: which interpreter a backend runs in, how it is made, and what can be used there."""
