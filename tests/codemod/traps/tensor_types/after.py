import torch

Tensor = torch.cuda.FloatTensor if torch.cuda.is_available() else torch.FloatTensor
x = Tensor(2, 3)
y = x.type('torch.cuda.LongTensor')
z = isinstance(x, torch.cuda.HalfTensor)
