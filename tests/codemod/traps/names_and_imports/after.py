#!/usr/bin/env python
# -*- coding: utf-8 -*-
from __future__ import annotations

import torch as th
import torch.cuda as tc
from torch import cuda
from porting_accel import is_available as has_gpu, synchronize
from porting_accel import autocast as ac
import porting_accel

accel = 9.81  # the word is taken
if porting_accel.is_available() and porting_accel.device_count() > 1 and porting_accel.device_count() and has_gpu():
    synchronize()
