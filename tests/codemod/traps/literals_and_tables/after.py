from typing import Literal

import torch
import porting_accel as accel

Device = Literal["cuda", "cpu"]
table = {"cuda": 1, "cpu": 2}
chosen = table["cuda"]
settings = {"device": accel.type, "mode": "fast"}
settings["device"] = f"{accel.type}:1"
device = settings.get("device", accel.type)
