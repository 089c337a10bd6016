from typing import Literal

import torch

Device = Literal["cuda", "cpu"]
table = {"cuda": 1, "cpu": 2}
chosen = table["cuda"]
settings = {"device": "cuda", "mode": "fast"}
settings["device"] = "cuda:1"
device = settings.get("device", "cuda")
