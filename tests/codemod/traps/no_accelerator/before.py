import torch

torch.cuda.empty_cache()
torch.cuda.manual_seed_all(1)
states = torch.cuda.get_rng_state_all()
used = torch.cuda.memory_allocated() + torch.cuda.memory.max_memory_allocated()
torch.cuda.synchronize()
start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
start.record()
with torch.cuda.stream(torch.cuda.Stream()):
    pass
end.record()
torch.cuda.nvtx.range_push("step")
torch.cuda.nvtx.range_pop()
