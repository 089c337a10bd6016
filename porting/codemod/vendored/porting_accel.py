# porting: accel helper
"""torch.cuda for the accelerator that is here: CUDA, a maker's plugin with a module like torch.npu, or none.

    import porting_accel as accel
    x = x.to(accel.type)

On CUDA every name is torch.cuda's own. With a plugin it is the plugin's. Without an accelerator what does nothing in torch.cuda
does nothing here, and what raises there for want of a card does nothing either, as far as there is nothing to ask.
Needs PyTorch 2.5 or newer, imported on first use, and nothing else. This file belongs to the project that it lies in.
"""

import functools
import importlib
import importlib.util
import os
import sys
import time

# By a maker's device: the plugin to import, the collective backend, the variable that says which devices are visible.
MAKERS = {}  # filled in when this file is copied

_FOUND = ""


def _find():
    """The accelerator's device type, `cpu` where there is none. Loads a plugin that is installed; asked once."""
    global _FOUND
    if not _FOUND:
        import torch

        _load_plugins()
        theirs = torch._C._get_privateuse1_backend_name()
        # A plugin comes before CUDA: some answer to the name of CUDA as well.
        names = [*([theirs] if theirs != "privateuseone" else []), *MAKERS, "cuda", "xpu", "mtia", "hpu"]
        _FOUND = next((name for name in names if _is_there(getattr(torch, name, None))), "cpu")
    return _FOUND


def _load_plugins():
    """PyTorch loads plugins by itself that ask for it. Older ones do not."""
    if os.environ.get("TORCH_DEVICE_BACKEND_AUTOLOAD") == "0":
        return
    for plugin, _collective, _variable in MAKERS.values():
        if plugin not in sys.modules and _is_installed(plugin):
            try:
                importlib.import_module(plugin)
            except (ImportError, OSError, RuntimeError) as error:
                print(f"{plugin} is installed and cannot be loaded: {error}", file=sys.stderr)


def _is_installed(plugin):
    return plugin in sys.modules or (bool(plugin) and importlib.util.find_spec(plugin.partition(".")[0]) is not None)


def _is_there(module):
    return module is not None and hasattr(module, "is_available") and module.is_available()


def _name():
    """The accelerator's device type, and `cuda` where there is none: for comparing, so that nothing becomes true on the CPU."""
    return _find() if _find() != "cpu" else "cuda"


def __getattr__(name):
    if name == "type":
        return _find()
    if name == "name":
        return _name()
    if name == "visible_devices":
        return _visible_devices()
    if name == "profiler_activity":
        return _profiler_activity()
    if name.startswith("__"):
        raise AttributeError(name)
    import torch

    kind = _find()
    if kind != "cuda" and name in _TENSOR_TYPES and not hasattr(getattr(torch, kind), name):
        return _tensor_type(name)
    if kind == "cpu":
        return getattr(_Nothing, name) if hasattr(_Nothing, name) else getattr(torch.cuda, name)
    module = getattr(torch, kind)
    if hasattr(module, name):
        return getattr(module, name)
    if hasattr(_Nothing, name) and name in _HARMLESS:
        return getattr(_Nothing, name)
    raise AttributeError(f"torch.{kind} has no {name!r}, which the code asked of torch.cuda")


# ---- where things are


def at(index=None):
    """A device of the accelerator from what torch.cuda takes for one: an index, a device, its name, None."""
    import torch

    if index is None or _find() == "cpu":
        return torch.device(_find())
    if isinstance(index, int):
        return torch.device(_find(), index) if index >= 0 else torch.device(_find())
    device = torch.device(index)
    if device.type != "cuda":
        return device
    return torch.device(_find()) if device.index is None else torch.device(_find(), device.index)


def is_on(tensor):
    """Whether a tensor lies on the accelerator: tensor.is_cuda."""
    device = getattr(tensor, "device", None)
    return device.type == _name() if device is not None else tensor.is_cuda


def map_location(storage, location):
    """For torch.load: what was saved on CUDA is loaded to the host where there is no CUDA; all else as ever."""
    import torch

    return storage if str(location).startswith("cuda") and not torch.cuda.is_available() else None


def _profiler_activity():
    """What the profiler is to watch besides the host: ProfilerActivity.CUDA on CUDA, and where there is no accelerator."""
    from torch.profiler import ProfilerActivity

    kind = _name()
    return getattr(ProfilerActivity, kind.upper(), ProfilerActivity.PrivateUse1)


def dist_backend(without="gloo"):
    """The collective backend: nccl on CUDA, the maker's elsewhere. without: the answer where there is no accelerator."""
    kind = _find()
    known = {"cuda": "nccl", "xpu": "xccl", "hpu": "hccl", **{device: how[1] for device, how in MAKERS.items() if how[1]}}
    if kind == "cpu":
        return without
    if kind in known:
        return known[kind]
    import torch.distributed

    return torch.distributed.get_default_backend_for_device(kind)


def is_dist_backend_available():
    """Whether dist_backend() is there: torch.distributed.is_nccl_available() on CUDA and without an accelerator."""
    import torch.distributed

    return _name() != "cuda" or torch.distributed.is_nccl_available()


def is_available():
    """Whether there is an accelerator: torch.cuda.is_available()."""
    return _find() != "cpu"


def device_count():
    """How many there are."""
    import torch

    return getattr(torch, _find()).device_count() if is_available() else 0


def get_device_capability(device=None):
    """The CUDA architecture as a pair; (0, 0) where there is no CUDA, so that no question for a newer one is answered yes."""
    import torch

    return torch.cuda.get_device_capability(device) if _find() == "cuda" else (0, 0)


def _visible_devices():
    """The environment variable that says which devices are visible. Asks which plugin is installed, not which device is there:
    the answer is needed before devices are looked for."""
    for plugin, _collective, variable in MAKERS.values():
        if variable and _is_installed(plugin):
            return variable
    return "CUDA_VISIBLE_DEVICES"


# ---- mixed precision


def autocast(enabled=True, dtype=None, cache_enabled=True):
    """torch.cuda.amp.autocast, its arguments in its order, float16 unless said otherwise."""
    import torch

    return torch.amp.autocast(_name(), dtype=dtype or torch.float16, enabled=enabled, cache_enabled=cache_enabled)


def GradScaler(init_scale=2.0**16, growth_factor=2.0, backoff_factor=0.5, growth_interval=2000, enabled=True):
    """torch.cuda.amp.GradScaler. A maker's own where its plugin has one: cards find an overflow in ways of their own, and
    divide in float32 where they lack float64. By keywords, since makers' have more of them in between."""
    import torch

    given = {
        "init_scale": init_scale,
        "growth_factor": growth_factor,
        "backoff_factor": backoff_factor,
        "growth_interval": growth_interval,
        "enabled": enabled,
    }
    kind = _find()
    theirs = getattr(getattr(torch, kind), "amp", None) if kind not in ("cpu", "cuda") else None
    if hasattr(theirs, "GradScaler"):
        return theirs.GradScaler(**given)
    return torch.amp.GradScaler(_name(), **given)


def custom_fwd(fwd=None, *, cast_inputs=None):
    """torch.cuda.amp.custom_fwd. The accelerator is asked for when the function is called."""
    if fwd is None:
        return functools.partial(custom_fwd, cast_inputs=cast_inputs)

    @functools.wraps(fwd)
    def forward(*args, **more):
        import torch

        return torch.amp.custom_fwd(fwd, device_type=_name(), cast_inputs=cast_inputs)(*args, **more)

    return forward


def custom_bwd(bwd):
    """torch.cuda.amp.custom_bwd."""

    @functools.wraps(bwd)
    def backward(*args, **more):
        import torch

        return torch.amp.custom_bwd(bwd, device_type=_name())(*args, **more)

    return backward


class amp:
    """torch.cuda.amp."""

    autocast = staticmethod(autocast)
    GradScaler = staticmethod(GradScaler)
    custom_fwd = staticmethod(custom_fwd)
    custom_bwd = staticmethod(custom_bwd)


class nvtx:
    """torch.cuda.nvtx; marks of the profiler where there is no CUDA."""

    _open = []

    @staticmethod
    def range_push(message):
        import torch

        if _find() == "cuda":
            return torch.cuda.nvtx.range_push(message)
        mark = torch.profiler.record_function(message)
        mark.__enter__()
        nvtx._open.append(mark)
        return len(nvtx._open) - 1

    @staticmethod
    def range_pop():
        import torch

        if _find() == "cuda":
            return torch.cuda.nvtx.range_pop()
        if nvtx._open:
            nvtx._open.pop().__exit__(None, None, None)
        return len(nvtx._open)

    @staticmethod
    def range(message, *args, **more):
        import torch

        return torch.cuda.nvtx.range(message, *args, **more) if _find() == "cuda" else torch.profiler.record_function(message)

    @staticmethod
    def mark(message):
        import torch

        return torch.cuda.nvtx.mark(message) if _find() == "cuda" else None


# ---- tensor types

_TENSOR_TYPES = frozenset(f"{kind}Tensor" for kind in "Float Double Half BFloat16 Byte Char Short Int Long Bool".split())


@functools.lru_cache(maxsize=None)
def _tensor_type(name):
    """A class that stands for torch.cuda.FloatTensor where there is no CUDA: it makes tensors of the accelerator, without one of
    the host, and knows those of the accelerator."""
    import torch

    dtype = getattr(torch, name).dtype

    class _Kind(type):
        def __instancecheck__(cls, other):
            return isinstance(other, torch.Tensor) and other.dtype == dtype and is_on(other)

    class Tensor(metaclass=_Kind):
        def __new__(cls, *args, **more):
            return getattr(torch, name)(*args, **more).to(_find())

    Tensor.__name__ = f"torch.{name}" if _find() == "cpu" else f"torch.{_find()}.{name}"  # Tensor.type() goes by it
    return Tensor


# ---- no accelerator


class _Idle:
    """A stream, or a context, of an accelerator that is not there."""

    device_index = 0

    def __init__(self, *args, **more):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return None

    def wait_stream(self, stream):
        pass

    def wait_event(self, event):
        pass

    def record_event(self, event=None):
        event = event or _Event()
        event.record()
        return event

    def synchronize(self):
        pass

    def query(self):
        return True


class _Event:
    """An event of an accelerator that is not there: the host's clock."""

    def __init__(self, *args, **more):
        self._at = 0.0

    def record(self, stream=None):
        self._at = time.perf_counter()

    def elapsed_time(self, end):
        """Milliseconds."""
        return (end._at - self._at) * 1000.0

    def wait(self, stream=None):
        pass

    def synchronize(self):
        pass

    def query(self):
        return True


class _Nothing:
    """Names of torch.cuda that raise where there is no card, and what they come to there. All others are torch.cuda's."""

    device = device_of = stream = StreamContext = Stream = _Idle
    Event = _Event

    @staticmethod
    def _none(*args, **more):
        return None

    init = set_device = synchronize = set_stream = set_per_process_memory_fraction = set_rng_state = _none
    empty_cache = ipc_collect = _none
    reset_peak_memory_stats = reset_max_memory_allocated = reset_max_memory_cached = reset_accumulated_memory_stats = _none

    @staticmethod
    def _zero(*args, **more):
        return 0

    current_device = memory_allocated = max_memory_allocated = memory_reserved = max_memory_reserved = _zero
    memory_cached = max_memory_cached = _zero

    @staticmethod
    def mem_get_info(device=None):
        return (0, 0)

    @staticmethod
    def current_stream(device=None):
        return _Idle()

    default_stream = current_stream

    @staticmethod
    def get_device_name(device=None):
        return "cpu"

    @staticmethod
    def get_rng_state(device="cuda"):
        import torch

        return torch.get_rng_state()

    @staticmethod
    def initial_seed():
        import torch

        return torch.initial_seed()


# What an accelerator may lack without harm.
_HARMLESS = frozenset(
    "empty_cache ipc_collect init reset_peak_memory_stats reset_max_memory_allocated reset_max_memory_cached "
    "reset_accumulated_memory_stats set_per_process_memory_fraction memory_allocated max_memory_allocated memory_reserved "
    "max_memory_reserved memory_cached max_memory_cached synchronize".split()
)
