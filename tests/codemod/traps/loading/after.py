import torch
import porting_accel as accel

one = torch.load("a.pt", map_location=accel.map_location)
two = torch.load(
    "b.pt",
    weights_only=True, map_location=accel.map_location,  # safe
)
three = torch.load("c.pt", map_location=accel.type)
four = torch.load("d.pt", f"{accel.type}:0")
