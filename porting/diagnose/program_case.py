"""A small program with its data, as a reduction changes it: the counterpart of porting.diagnose.case."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from porting.diagnose.case import Case, resized
from porting.diagnose.cut import Piece
from porting.diagnose.program import Call
from porting.diagnose.program_cut import ProgramPiece
from porting.types import Precision

if TYPE_CHECKING:
    import numpy

    Array = numpy.ndarray[Any, Any]


@dataclass(frozen=True)
class ProgramCase(Case):
    """Calls, what they are fed with, and what comes out. like: the form's kind."""

    clean_words = "PyTorch gives operator by operator on the CPU"

    @classmethod
    def of(cls, piece: Piece) -> ProgramCase:
        """A cut with short names. Its arrays are read, not mapped."""
        import numpy as np

        names: dict[str, str] = {}
        inner = [name for call in piece.nodes for name in call.output if name and name not in piece.outputs]
        for letter, group in (("x", piece.feeds), ("w", piece.weights), ("v", inner), ("y", piece.outputs)):
            names.update((name, f"{letter}{number}") for number, name in enumerate(group))
        calls = [
            replace(call.renamed(names.__getitem__, names.__getitem__), name=f"c{number}")
            for number, call in enumerate(piece.nodes)
        ]
        feeds = {names[name]: np.array(array) for name, array in piece.feeds.items()}
        weights = {names[name]: np.array(array) for name, array in piece.weights.items()}
        return cls(tuple(calls), feeds, weights, tuple(names[name] for name in piece.outputs), piece.like)

    def piece(self, right: Mapping[str, Array] | None = None) -> ProgramPiece:
        dtypes = {name: (str(array.dtype), array.shape) for name, array in (right or {}).items()}
        return ProgramPiece(self.nodes, self.feeds, self.weights, {n: n for n in self.outputs}, self.like, dtypes=dtypes)

    @property
    def kind(self) -> str:
        return str(self.like)

    @property
    def opset(self) -> None:
        return None

    @property
    def precision(self) -> Precision:
        kinds = {str(array.dtype) for array in (*self.feeds.values(), *self.weights.values())}
        return Precision.BF16 if "bfloat16" in kinds else Precision.FP16 if "float16" in kinds else Precision.FP32

    def save(self, path: Path, expected: Mapping[str, Array]) -> None:
        self.piece(expected).save(path)

    # ---- smaller ones

    def at_size(self, size: int, to: int) -> ProgramCase:
        """Every axis of one size at another, also in lists of sizes that a call is given."""
        return self._sized({size: to}, within=True)

    def scaled(self, size: int, to: int) -> ProgramCase:
        """The same for axes and numbers that are a multiple of a size."""
        largest = max((s for array in (*self.feeds.values(), *self.weights.values()) for s in array.shape), default=0)
        return self._sized({times * size: times * to for times in range(1, max(largest // size, 1) + 1)}, within=False)

    def _sized(self, sizes: Mapping[int, int], within: bool) -> ProgramCase:
        """within: change numbers in lists alone."""
        calls = [_with_numbers(call, lambda number: sizes.get(number, number), within) for call in self.nodes]
        return replace(self, nodes=tuple(calls), feeds=resized(self.feeds, sizes), weights=resized(self.weights, sizes))

    def less_said(self) -> Iterator[ProgramCase]:
        """The same with one argument of a call left out, or with numbers that do nothing: padding, strides, dilations."""
        for place, call in enumerate(self.nodes):
            for name in call.kwargs:
                yield self._with_call(place, replace(call, kwargs={k: v for k, v in call.kwargs.items() if k != name}))
            if call.args and not _is_node(call.args[-1]):
                yield self._with_call(place, replace(call, args=call.args[:-1]))
            for number, argument in enumerate(call.args):
                for plain in (0, 1) if _is_numbers(argument) else ():
                    plainer = [*call.args[:number], [plain] * len(argument), *call.args[number + 1 :]]
                    if plainer != list(call.args):
                        yield self._with_call(place, replace(call, args=plainer))

    def _with_call(self, place: int, call: Call) -> ProgramCase:
        return replace(self, nodes=(*self.nodes[:place], call, *self.nodes[place + 1 :]))


def _is_node(argument: Any) -> bool:
    return isinstance(argument, dict) and "node" in argument


def _is_numbers(argument: Any) -> bool:
    return isinstance(argument, list) and bool(argument) and all(type(item) is int for item in argument)


def _with_numbers(call: Call, put: Callable[[int], int], within: bool) -> Call:
    def changed(value: Any, inside: bool) -> Any:
        if isinstance(value, list):
            return [changed(item, True) for item in value]
        return put(value) if type(value) is int and (inside or not within) else value

    kwargs = {key: changed(value, False) for key, value in call.kwargs.items()}
    return replace(call, args=[changed(value, False) for value in call.args], kwargs=kwargs)
