"""A converted model as a folder that deploys without us: `port` writes it, `run.py` is shipped in it."""

from __future__ import annotations

from pathlib import Path

RUNNER = Path(__file__).with_name("run.py")
"""Shipped as it is: reads the sample, lets the file beside it run the model, compares."""
BACKEND = "backend.py"
"""What the adapter's deploy.py is called there."""
