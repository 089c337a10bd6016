from torch import *
from torch.cuda.amp import *

if cuda.is_available():
    with autocast():
        pass
