import torch

one = torch.load("a.pt")
two = torch.load(
    "b.pt",
    weights_only=True,  # safe
)
three = torch.load("c.pt", map_location="cuda")
four = torch.load("d.pt", "cuda:0")
