"""What a model reads out of its tensors into Python, answered while it is captured as it was on the nominal case.

A capture has no values: `if mask.any()`, `lengths.tolist()` stop it. A tracer takes the example's answer without a word; here it
is taken knowingly, and the other cases have to bear it out. How often each place in the code asks may differ between the runs.
"""

from __future__ import annotations

import contextlib
import sys
from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch import nn

_Place = tuple[str, int, str]
"""File, line, and what was asked."""
_Answers = dict[_Place, deque[Any]]


@contextlib.contextmanager
def data_replayed(module: nn.Module, example: Sequence[torch.Tensor]) -> Iterator[nn.Module | None]:
    """The module with its questions answered; None where it asks nothing. example: what it is run on once, in eager."""
    answers: _Answers = defaultdict(deque)
    with _recording(answers):
        module(*example)
    yield _replaying(module, answers).eval() if answers else None


def _replaying(module: nn.Module, answers: _Answers) -> nn.Module:
    from torch import nn

    class Replaying(nn.Module):  # type: ignore[misc]  # torch is not followed
        def __init__(self) -> None:
            super().__init__()
            self.inner = module

        def forward(self, *tensors: Any) -> Any:
            with _answering({place: deque(said) for place, said in answers.items()}):
                return self.inner(*tensors)

    return Replaying()


def _questions() -> dict[Any, str]:
    from torch import Tensor

    names = ("__bool__", "__int__", "__float__", "__index__", "item", "tolist")
    return {getattr(Tensor, name): name for name in names}


@contextlib.contextmanager
def _recording(answers: _Answers) -> Iterator[None]:
    import torch
    from torch.overrides import TorchFunctionMode

    questions = _questions()

    class Record(TorchFunctionMode):  # type: ignore[misc]
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            said = func(*args, **(kwargs or {}))
            if func in questions:
                answers[_place(questions[func])].append(said)
            return said

    with torch.no_grad(), Record():
        yield


@contextlib.contextmanager
def _answering(answers: _Answers) -> Iterator[None]:
    from torch._subclasses.fake_tensor import FakeTensor
    from torch.overrides import TorchFunctionMode

    questions = _questions()

    def tolist(tensor: Any) -> Any:  # a stand-in of the capture asks for each element instead, and has as many as it likes
        said = _said(answers, "tolist")
        return before(tensor) if said is None else said[0]

    class Replay(TorchFunctionMode):  # type: ignore[misc]
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            said = _said(answers, questions[func]) if func in questions else None
            return func(*args, **(kwargs or {})) if said is None else said[0]

    before = FakeTensor.tolist
    FakeTensor.tolist = tolist
    try:
        with Replay():
            yield
    finally:
        FakeTensor.tolist = before


def _said(answers: _Answers, question: str) -> tuple[Any] | None:
    """The next answer at the place that asks, None where nothing was asked there. The last one stands for all that follow."""
    queue = answers.get(_place(question))
    if not queue:
        return None
    return (queue.popleft() if len(queue) > 1 else queue[0],)


def _place(question: str) -> _Place:
    """Where in the model's code this is asked: the nearest frame that is neither torch's nor ours."""
    import torch

    skipped = (str(Path(torch.__file__).parent), __file__)
    frame: Any = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(skipped):
        frame = frame.f_back
    return frame.f_code.co_filename, frame.f_lineno, question
