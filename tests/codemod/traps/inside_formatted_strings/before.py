import torch

said = f"on {torch.cuda.get_device_name()} of {torch.cuda.device_count()}"
where = f"{'cuda' if torch.cuda.is_available() else 'cpu'}"
device = torch.device(f"cuda:{torch.cuda.current_device()}")
