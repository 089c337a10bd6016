import torch
import porting_accel as accel

said = f"on {accel.get_device_name()} of {accel.device_count()}"
where = f"{'cuda' if torch.cuda.is_available() else 'cpu'}"
device = torch.device(f"{accel.type}:{accel.current_device()}")
