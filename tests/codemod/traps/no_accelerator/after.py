import torch
import porting_accel as accel

accel.empty_cache()
accel.manual_seed_all(1)
states = accel.get_rng_state_all()
used = accel.memory_allocated() + accel.max_memory_allocated()
accel.synchronize()
start, end = accel.Event(enable_timing=True), accel.Event(enable_timing=True)
start.record()
with accel.stream(accel.Stream()):
    pass
end.record()
accel.nvtx.range_push("step")
accel.nvtx.range_pop()
