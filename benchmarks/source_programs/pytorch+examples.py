"""Trains the examples' Transformer language model for an epoch on made-up sentences, by its own program."""

import os
import random
import runpy
import sys
from pathlib import Path

os.chdir("word_language_model")
folder = Path("data/made")
folder.mkdir(parents=True)
drawn = random.Random(0)
for name in ("train", "valid", "test"):
    lines = [" ".join(drawn.choice("abcdefgh") for _ in range(9)) for _ in range(20)]
    (folder / f"{name}.txt").write_text("\n".join(lines) + "\n", encoding="utf8")
settings = {"data": folder, "model": "Transformer", "emsize": 16, "nhid": 16, "nlayers": 1, "nhead": 2, "epochs": 1, "lr": 0.1}
settings |= {"batch_size": 4, "bptt": 8, "dropout": 0, "log-interval": 4}
sys.argv = ["main.py", "--accel", *(word for name, value in settings.items() for word in (f"--{name}", str(value)))]
sys.path.insert(0, "")
runpy.run_path("main.py", run_name="__main__")
