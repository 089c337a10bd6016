import torch
import porting_accel as accel

x = torch.ones(1)
wide = accel.DoubleTensor([1.0])
narrow = x.type("torch.cuda.HalfTensor")
torch.set_default_tensor_type("torch.cuda.FloatTensor")
torch.set_default_tensor_type(torch.cuda.FloatTensor)
known = isinstance(x, accel.DoubleTensor)
