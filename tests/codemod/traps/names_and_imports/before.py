#!/usr/bin/env python
# -*- coding: utf-8 -*-
from __future__ import annotations

import torch as th
import torch.cuda as tc
from torch import cuda
from torch.cuda import is_available as has_gpu, synchronize
from torch.cuda.amp import autocast as ac

accel = 9.81  # the word is taken
if th.cuda.is_available() and tc.device_count() > 1 and cuda.device_count() and has_gpu():
    synchronize()
