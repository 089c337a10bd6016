import torch
import porting_accel as accel

Tensor = accel.FloatTensor if accel.is_available() else torch.FloatTensor
x = Tensor(2, 3)
y = x.type('torch.cuda.LongTensor')
z = isinstance(x, accel.HalfTensor)
