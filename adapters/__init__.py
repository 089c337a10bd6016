"""The built-in adapters: one folder a backend, `_family.py` files for what a family shares."""
