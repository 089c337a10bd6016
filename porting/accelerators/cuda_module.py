"""What torch.cuda answers on the stand-in: PyTorch's own module, over functions in place of those that only a build for CUDA has.

Each is that of one idle card. Calls that do something to a card are counted, so that two programs' can be compared.
"""

from __future__ import annotations

import functools
import types
from typing import TYPE_CHECKING, Any, Dict

from porting.accelerators.cuda_streams import bring_streams

if TYPE_CHECKING:
    from porting.accelerators.cuda import Cuda

CAPABILITY = (8, 0)
"""Of the card that the properties are of: A100 (NVIDIA, CUDA C++ Programming Guide, compute capabilities)."""
CUDA_VERSION = "12.6"
"""One that torch 2.13 is built for."""
CUDNN_VERSION = 91002
_PROCESSORS = 108
_GIB = 1 << 30


def answer(torch: Any, device: Cuda) -> None:
    """Let torch.cuda work, for good."""
    torch.version.cuda = CUDA_VERSION
    for name, value in {**_functions(torch, device), **_acts(device)}.items():
        setattr(torch._C, f"_cuda_{name}", value)
    torch._C._host_emptyCache = functools.partial(device.call, "host_emptyCache")
    torch._C._scatter = lambda tensor, *_: (tensor.cuda(),)
    torch._C._gather = torch._C._broadcast_coalesced = lambda tensors, *_: tensors[0] if len(tensors) == 1 else tensors
    torch._C._has_cuda = torch.cuda.has_magma = True
    torch.cuda._exchange_device = torch._C._cuda_exchangeDevice
    torch.cuda._maybe_exchange_device = torch._C._cuda_maybeExchangeDevice
    torch.cuda._is_in_bad_fork = lambda: device.bad_fork
    torch.cuda._cudart = _runtime(device)
    torch.cuda._get_device_properties = lambda _index: _properties(device)
    torch.cuda.default_generators = (torch.default_generator,)
    torch.cuda.nvtx._nvtx = _marks(device)
    bring_streams(torch, device)
    _graphs(torch, device)
    _cudnn(torch)
    _refuse_the_rest(torch, device)
    if torch.cuda.is_available():
        torch.cuda.init()  # a seed that waited for the first use of the card would be set again then, for the host, too


def _functions(torch: Any, device: Cuda) -> Dict[str, Any]:
    """What tells, and changes nothing."""
    stream = {"current": (0, 0, 1)}  # identity, card, type of device

    def count() -> int:
        return 1 if torch.cuda._parse_visible_devices() else 0

    def start() -> None:
        if not count():
            raise RuntimeError("No CUDA GPUs are available")

    def set_stream(stream_id: int, device_index: int, device_type: int) -> None:
        device.call("set_stream")
        stream["current"] = (stream_id, device_index, device_type)

    def chosen(index: int) -> int:
        if index > 0:
            raise RuntimeError(f"CUDA error: invalid device ordinal (cuda:{index}: the stand-in is one card)")
        return 0 if index == 0 else -1

    def set_device(index: int) -> None:
        device.call("set_device")
        chosen(index)

    def synchronize() -> None:
        device.call("synchronize")
        device.ledger.wait("synchronize", device.place())

    return {
        "getDeviceCount": count,
        "init": start,
        "getDevice": lambda: 0,
        "setDevice": set_device,
        "exchangeDevice": chosen,
        "maybeExchangeDevice": chosen,
        "canDeviceAccessPeer": lambda *_: False,
        "getArchFlags": lambda: f"sm_{CAPABILITY[0]}{CAPABILITY[1]}",
        "isCurrentStreamCapturing": lambda: False,
        "getCurrentStream": lambda _card: stream["current"],
        "getDefaultStream": lambda _card: (0, 0, 1),
        "getCurrentRawStream": lambda _card: stream["current"][0],
        "setStream": set_stream,
        "synchronize": synchronize,
        "memoryStats": lambda *_: _memory(),
        "memorySnapshot": lambda *_: {"segments": [], "device_traces": []},
        "hostMemoryStats": lambda *_: {},
        "getAllocatorBackend": lambda: "native",
        "getMemoryFraction": lambda *_: 1.0,
        "get_sync_debug_mode": lambda: 0,
        "get_cudnn_benchmark_limit": lambda: 10,
        "tunableop_is_enabled": lambda: False,
    }


def _acts(device: Cuda) -> Dict[str, Any]:
    """What does something to a card, and nothing here but be counted."""
    names = (
        "emptyCache", "ipc_collect", "resetPeakMemoryStats", "resetAccumulatedMemoryStats", "setMemoryFraction", "sleep",
        "set_sync_debug_mode", "set_cudnn_benchmark_limit", "resetPeakHostMemoryStats", "resetAccumulatedHostMemoryStats",
        "cudaCachingAllocator_enable",
    )  # fmt: skip
    return {name: functools.partial(device.call, name) for name in names}


def _memory() -> Dict[str, Any]:
    """Statistics of an allocator that gives nothing away, by the names that torch.cuda.memory_summary asks for."""
    sizes = ("allocated_bytes", "reserved_bytes", "active_bytes", "inactive_split_bytes", "requested_bytes")
    counts = ("allocation", "segment", "active", "inactive_split")
    moments = ("current", "peak", "allocated", "freed")
    pools = ("all", "small_pool", "large_pool")
    each: Dict[str, Any] = {kind: {pool: dict.fromkeys(moments, 0) for pool in pools} for kind in sizes + counts}
    for kind in ("oversize_allocations", "oversize_segments"):
        each[kind] = dict.fromkeys(moments, 0)
    return {**each, **dict.fromkeys(("num_alloc_retries", "num_ooms", "num_sync_all_streams", "max_split_size"), 0)}


def _properties(device: Cuda) -> Any:
    card = next((card for card in device.profile.cards if "A100" in card.name), None)
    return types.SimpleNamespace(
        name=f"stand-in for {device.profile.vendor} {card.name if card else ''}".strip(),
        major=CAPABILITY[0],
        minor=CAPABILITY[1],
        total_memory=int((card.memory_gib if card else 0) * _GIB),
        multi_processor_count=_PROCESSORS,
        warp_size=32,
        max_threads_per_multi_processor=2048,
        max_threads_per_block=1024,
        shared_memory_per_block=48 << 10,
        shared_memory_per_block_optin=163 << 10,
        shared_memory_per_multiprocessor=164 << 10,
        regs_per_multiprocessor=65536,
        L2_cache_size=40 << 20,
        is_integrated=0,
        is_multi_gpu_board=0,
        gcnArchName="",
        uuid="00000000-0000-0000-0000-000000000000",
        pci_bus_id=0,
        pci_device_id=0,
        pci_domain_id=0,
    )


def _runtime(device: Cuda) -> Any:
    """torch.cuda.cudart()."""
    total = _properties(device).total_memory
    return types.SimpleNamespace(
        cudaMemGetInfo=lambda *_: (total, total),
        cudaProfilerStart=lambda: 0,
        cudaProfilerStop=lambda: 0,
        cudaGetErrorString=lambda error: f"error {error}",
        cudaError=types.SimpleNamespace(success=0),
        cudaHostRegister=lambda *_: 0,
        cudaHostUnregister=lambda *_: 0,
    )


def _marks(device: Cuda) -> Any:
    """torch.cuda.nvtx: ranges that nobody watches."""
    depth = [0]

    def push(_message: str) -> int:
        device.call("nvtx.range_push")
        depth[0] += 1
        return depth[0] - 1

    def pop() -> int:
        depth[0] = max(depth[0] - 1, 0)
        return depth[0]

    return types.SimpleNamespace(
        rangePushA=push, rangePop=pop, markA=lambda _message: None, rangeStartA=lambda _message: 0, rangeEnd=lambda _range: None
    )


# ---- what it cannot have


def _graphs(torch: Any, device: Cuda) -> None:
    class CUDAGraph:
        """A graph that is never captured."""

        def __init__(self, *_args: Any, **_more: Any) -> None: ...

        def _refuse(self, *_args: Any, **_more: Any) -> None:
            device.lacks("CUDA graphs")

        capture_begin = capture_end = replay = pool = reset = debug_dump = enable_debug_mode = _refuse

    for module in (torch.cuda, torch.cuda.graphs):
        module.CUDAGraph = CUDAGraph
    torch.cuda.graphs._graph_pool_handle = lambda: (0, 1)
    torch.cuda.graphs._cuda_isCurrentStreamCapturing = lambda: False


def _cudnn(torch: Any) -> None:
    """Switches of cuDNN are there; its kernels are the CPU's."""
    torch.backends.cudnn.version = lambda: CUDNN_VERSION
    torch.backends.cudnn.is_available = lambda: True
    torch.backends.cudnn.is_acceptable = lambda _tensor: False


def _refuse_the_rest(torch: Any, device: Cuda) -> None:
    """Compiled code for a card, and talk between cards."""

    compiling = torch.compile

    @functools.wraps(compiling)
    def compile_model(*args: Any, **more: Any) -> Any:
        if more.get("backend", "inductor") == "inductor" and not more.get("disable"):
            device.lacks("torch.compile")
        return compiling(*args, **more)

    torch.compile = compile_model
    torch._C._cuda_jiterator_compile_and_launch_kernel = lambda *_: device.lacks("torch.cuda.jiterator")
    start = torch.distributed.init_process_group

    @functools.wraps(start)
    def init_process_group(backend: Any = None, *args: Any, **more: Any) -> Any:
        if "nccl" in str(backend).lower():
            device.lacks("NCCL")
        return start(backend, *args, **more)

    torch.distributed.init_process_group = init_process_group
    torch.distributed.distributed_c10d.init_process_group = init_process_group
    torch.distributed.is_nccl_available = torch.distributed.distributed_c10d.is_nccl_available = lambda: True
