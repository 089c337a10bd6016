"""Packages that a repository imports and that are not here, as empty ones: what is asked of them does nothing.

Copied beside the programs of source_programs/, which say which packages they leave empty.
"""

import importlib.abc
import importlib.machinery
import sys
import types


class Nothing:
    """Called with a function, as a decorator is, it gives the function; else it gives and does nothing."""

    def __init__(self, *_args, **_more):
        pass

    def __call__(self, *args, **_more):
        return args[0] if args and callable(args[0]) else self

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return Nothing()

    def __mro_entries__(self, _bases):
        return (object,)


class _Empty(types.ModuleType):
    def __init__(self, name):
        super().__init__(name)
        self.__path__ = []

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return Nothing()


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def __init__(self, names):
        self.names = names

    def find_spec(self, name, _path=None, _target=None):
        mine = any(name == own or name.startswith(own + ".") for own in self.names)
        return importlib.machinery.ModuleSpec(name, self, is_package=True) if mine else None

    def create_module(self, spec):
        return _Empty(spec.name)

    def exec_module(self, module):
        pass


def leave_empty(*names):
    """Make packages importable that are not here."""
    sys.meta_path.insert(0, _Finder(names))


def device():
    """The accelerator that is here, else the CPU."""
    import torch

    accelerator = torch.accelerator.current_accelerator() if hasattr(torch, "accelerator") else None
    return torch.device(accelerator.type if accelerator else "cpu")
