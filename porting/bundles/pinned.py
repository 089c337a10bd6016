"""Sizes that a capture took for granted though their axes vary, and captures that leave them open.

What Python makes of a size is one number: `int(height * 14)`, `float(rows)`. Capturing without running Python's own bytecode
(torch.export, non-strict), torch then notes that the program holds where the size is that number, and says nothing: at other
sizes the program answers wrongly. The notes are its guards.
"""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

_ONE_NUMBER = re.compile(r"(?P<size>.*\.size\(\).*) == -?\d+")
"""A guard that lets an expression of sizes be one number alone."""
_MORE = re.compile(r" (%|and|or) ")
"""Of what is asked more than one number is right: of multiples of a patch, of one of two."""


def pinned(program: torch.export.ExportedProgram) -> list[str]:
    """What a program that was captured takes for granted of its sizes, in torch's words: `(L['tensors'][0].size()[2] // 16)`."""
    guards: Iterable[str] = getattr(program, "_guards_code", None) or ()
    found = [_ONE_NUMBER.fullmatch(guard) for guard in guards if not _MORE.search(guard)]
    return [match["size"] for match in found if match]


@contextlib.contextmanager
def open_numbers(model: torch.nn.Module) -> Iterator[None]:
    """While this is open, `int` and `float` in the code of a model leave a size the expression that it is."""
    import torch

    def whole(value: Any) -> Any:
        return value if isinstance(value, torch.SymInt) else torch.sym_int(value)

    ours = {"int": _stand_in(int, whole), "float": _stand_in(float, torch.sym_float)}
    changed = [(module, name) for module in _modules_of(model) for name in ours if name not in module]
    for module, name in changed:
        module[name] = ours[name]
    try:
        yield
    finally:
        for module, name in changed:
            del module[name]


def _modules_of(model: torch.nn.Module) -> list[dict[str, Any]]:
    """The names of every loaded module of the libraries that a model's layers are from; of torch none, of porting its own."""
    own = {type(layer).__module__ for layer in model.modules()}
    libraries = {name.partition(".")[0] for name in own} - {"torch", __name__.partition(".")[0]}
    found = [module for name, module in list(sys.modules.items()) if name in own or name.partition(".")[0] in libraries]
    return [vars(module) for module in found if not module.__name__.startswith("torch.")]


def _stand_in(builtin: type, size: Callable[[Any], Any]) -> type:
    """A type that is taken for `builtin`, and of a size makes what `size` does."""
    import torch

    class Kind(type):
        def __call__(cls, *args: Any, **named: Any) -> Any:
            if len(args) == 1 and isinstance(args[0], (torch.SymInt, torch.SymFloat)):
                return size(args[0])
            return builtin(*args, **named)

        def __instancecheck__(cls, value: Any) -> bool:
            return isinstance(value, builtin)

        def __subclasscheck__(cls, kind: type) -> bool:
            return issubclass(kind, builtin)

        def __eq__(cls, other: object) -> bool:
            return other is builtin or other is cls

        def __hash__(cls) -> int:
            return hash(builtin)

    return Kind(builtin.__name__, (builtin,), {})
