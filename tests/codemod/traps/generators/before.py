import torch

first = torch.Generator("cuda")
second = torch.Generator(device="cuda:1")
third = torch.Generator(device="cuda" if torch.cuda.is_available() else "cpu")
torch.cuda.manual_seed_all(0)
torch.manual_seed(0)
state = torch.cuda.get_rng_state()
torch.cuda.set_rng_state(state)
