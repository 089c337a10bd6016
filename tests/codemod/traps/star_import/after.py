from torch import *
from torch.cuda.amp import *
import porting_accel as accel

if accel.is_available():
    with autocast():
        pass
