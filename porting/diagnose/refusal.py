"""The smallest part of a model that an exporter refuses: a job in the base environment.

An error of an exporter has, in the frames that it came through, the modules whose forward was being traced, or the node that was
being written. From the innermost of these outwards each is called as the model calls it and exported by itself, until one is
refused in the same words. Where no frame tells, or the one that does is not refused by itself, the way is from the outside in.
"""

from __future__ import annotations

import copy
import importlib.metadata
import re
import shutil
import sys
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from porting.bundles.bundle import read_bundle
from porting.bundles.eager import as_tensor, torch_dtype
from porting.bundles.export import first_line
from porting.bundles.reference import Reference
from porting.diagnose.graph import Source, source_of
from porting.diagnose.reproduce_export import export
from porting.diagnose.trial import Journal
from porting.errors import ModelError, PortingError
from porting.serialization import Json, from_json, to_json
from porting.signature import normalise
from porting.types import ModelSpec, Precision, Stage

if TYPE_CHECKING:
    from torch import nn

PART = "part.pt"
OWN = "_porting_factory_"
"""Begins the name of the module that a person's own file is imported as."""
_SYMBOL = re.compile(r"\b[suz]+\d+\b")
_ALIKE = 60
"""Characters of a message that have to be the same."""


@dataclass(frozen=True)
class Call:
    """A module and what the model calls it with."""

    path: str
    module: nn.Module
    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    @property
    def part(self) -> dict[str, Any]:
        return {"module": self.module, "args": self.args, "kwargs": self.kwargs}


def smallest(job: Json, clock: Any, _adapter: object) -> Json:
    """Job `porting.diagnose.refusal:smallest`: write the smallest part of `spec`, whose bundle is at `bundle`, that is refused as
    a `form` in the words of `message`, to `folder`. What was tried is kept in `journal`. Raises PortingError where there is none.
    """
    import torch

    from porting.bundles.build import build

    spec, folder, precision = from_json(ModelSpec, job["spec"]), Path(job["bundle"]), Precision(job["precision"])
    clock.enter(Stage.BUILD)
    work, bundle = Reference(spec, build(spec), folder), read_bundle(folder, verify=False)
    if work.built.module is None:
        raise ModelError(f"{spec.id} is a file and no module: it has no parts that could be exported.")
    work.restore(bundle)
    if precision is not Precision.FP32:
        work.engine.model.to(precision)
    arrays = bundle.read(next(case for case in bundle.cases if case.nominal).inputs)
    example = tuple(as_tensor(arrays[each.name], torch_dtype(precision)) for each in bundle.inputs)
    clock.enter(Stage.EXPORT)
    with torch.no_grad():
        search = Search(work.engine.model.flat(), example, job["form"], alike(job["message"]), Journal(Path(job["journal"])))
        return search.run(Path(job["folder"]))


def alike(message: str) -> str:
    """What two refusals for one reason have in common: the beginning of the first line, without names of sizes and numbers."""
    return normalise(_SYMBOL.sub("0", message.strip().splitlines()[0] if message.strip() else ""))[:_ALIKE]


class Search:
    """Looks for the smallest part of a positional module that is refused.

    example: what it is called with. form: `onnx`, `pt2` or `aten`. wanted: what `alike` makes of the refusal.
    """

    def __init__(self, flat: nn.Module, example: tuple[Any, ...], form: str, wanted: str, journal: Journal) -> None:
        self._flat, self._form, self._wanted, self._journal = flat, form, wanted, journal
        self._calls = _calls(flat, example)
        self._free = False
        """Whether sizes may vary."""
        self._tried = 0

    def run(self, folder: Path) -> Json:
        """Write the part and return what it is."""
        import torch

        error = self._whole()
        found, source = self._from_inside(error)
        if found is None:
            found, source = self._from_outside(), Source()
        if found.path == "":
            raise PortingError(
                "no part of the model is refused by itself as the whole is.", "porting explain tells of the whole."
            )
        folder.mkdir(parents=True, exist_ok=True)
        torch.save(found.part, folder / PART)
        _copy_own_code(found.module, folder)
        last = self._refused(torch.load(folder / PART, weights_only=False))
        if last is None or not self._is_wanted(last):
            (folder / PART).unlink()
            raise PortingError(f"{found.path} is not refused in the same words when it is read back from a file.")
        return {
            "path": found.path,
            "part": type(found.module).__name__,
            "message": first_line(last),
            "free": self._free,
            "source": to_json(source if source.place else _own_line(found, last)),
            "shapes": _shapes(found),
            "versions": _versions(found.module),
            "tried": self._tried,
        }

    def _whole(self) -> BaseException:
        """What the exporter says of the whole: with sizes as they are, or else with sizes that may vary."""
        said = []
        for free in (False, True):
            self._free = free
            error = self._refused(self._calls[""].part)
            if error is not None and self._is_wanted(error):
                return error
            said.append("it is exported" if error is None else first_line(error))
        raise PortingError(f"the whole model is not refused as it was: with fixed sizes {said[0]}; with others {said[1]}.")

    def _from_inside(self, error: BaseException) -> tuple[Call | None, Source]:
        paths, source = self._suspects(error)
        for path in reversed(paths):
            if path and self._is_refused(path):
                return self._calls[path], source if source.scope.startswith(path) else Source()
        return None, Source()

    def _from_outside(self) -> Call:
        """Into the first part that is refused as long as there is one."""
        path, inner = "", self._inner("")
        while (refused := next((each for each in inner if self._is_refused(each)), None)) is not None:
            path, inner = refused, self._inner(refused)
        return self._calls[path]

    def _inner(self, path: str) -> list[str]:
        """The modules that are called and lie nearest below one."""
        below = [each for each in self._calls if each != path and each.startswith(f"{path}." if path else "")]
        return [each for each in below if not any(each.startswith(f"{other}.") for other in below)]

    def _suspects(self, error: BaseException) -> tuple[list[str], Source]:
        """Modules that an error came through, the outermost first, and the line of the innermost."""
        # Tracing wraps modules, not what they hold.
        known = {id(vars(module)): path for path, module in self._flat.named_modules()}
        paths: list[str] = []
        source = Source()
        for frame, line in _frames(error):
            place, stack = None, traceback.format_list([(frame.f_code.co_filename, line, frame.f_code.co_name, None)])
            node, owner = frame.f_locals.get("node"), frame.f_locals.get("self")
            if hasattr(node, "meta") and (scopes := node.meta.get("nn_module_stack")):
                place, stack = _path_of(list(scopes.values())[-1][0]), [node.meta.get("stack_trace") or ""]
            elif hasattr(owner, "__dict__"):
                place = known.get(id(vars(owner)))
            if place is not None and place in self._calls:
                paths = [path for path in paths if path != place] + [place]
                source = source_of("".join(stack), place)
        return paths, source

    def _is_wanted(self, error: BaseException) -> bool:
        return alike(first_line(error)) == self._wanted

    def _is_refused(self, path: str) -> bool:
        key = f"{path} {self._free}"
        if key not in self._journal:
            self._journal[key] = False  # should it not come back
            error = self._refused(self._calls[path].part)
            self._journal[key] = error is not None and self._is_wanted(error)
        return bool(self._journal[key])

    def _refused(self, part: dict[str, Any]) -> BaseException | None:
        from torch.fx.experimental import _config

        self._tried += 1
        try:
            with _config.patch(backed_size_oblivious=True):
                export(part, self._form, self._free)
        except Exception as error:  # noqa: BLE001 -- exporters raise whatever the model made them stumble over
            return error
        return None


def _calls(flat: nn.Module, example: tuple[Any, ...]) -> dict[str, Call]:
    """What every module is called with at first, by path, in the order of calls; what cannot be copied is left out."""
    found: dict[str, Call] = {}
    handles = []

    def listen(path: str, module: nn.Module) -> Any:
        def note(_: Any, args: Any, kwargs: Any) -> None:
            if path not in found:
                try:
                    found[path] = Call(path, module, *copy.deepcopy((args, kwargs)))
                except Exception:  # noqa: BLE001 -- what it is called with is the model's choice
                    traceback.print_exc()

        return module.register_forward_pre_hook(note, with_kwargs=True)

    for path, module in flat.named_modules():
        handles.append(listen(path, module))
    try:
        flat(*example)
    finally:
        for handle in handles:
            handle.remove()
    return found


def _frames(error: BaseException) -> Iterator[tuple[Any, int]]:
    """Frames and lines of an error and of those that it was raised from, the innermost last."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield from traceback.walk_tb(error.__traceback__)
        error = error.__cause__ or error.__context__  # type: ignore[assignment]


def _path_of(scope: str) -> str:
    """The path of a module in a graph's own words: `L['self'].model.layers[0]`, `model.layers.0`."""
    return re.sub(r"\[['\"]?(\w+)['\"]?\]", r".\1", scope.removeprefix("L['self']").removeprefix("L__self__")).strip(".")


def _own_line(call: Call, error: BaseException) -> Source:
    """The line of the part's own code that an error came through at last."""
    frames = [(frame.f_code.co_filename, line, frame.f_code.co_name, None) for frame, line in _frames(error)]
    return source_of("".join(traceback.format_list(frames)), call.path)


def _shapes(call: Call) -> dict[str, str]:
    """Dtype and shape of every tensor that a part is called with."""
    import torch
    from torch.utils import _pytree

    leaves = _pytree.tree_flatten_with_path((call.args, call.kwargs))[0]
    tensors = [(_pytree.keystr(path[1:]), leaf) for path, leaf in leaves if isinstance(leaf, torch.Tensor)]
    return {re.sub(r"[\[\]'\"]", "", name): f"{str(t.dtype).removeprefix('torch.')}{list(t.shape)}" for name, t in tensors}


def _copy_own_code(module: nn.Module, folder: Path) -> None:
    """Put a person's own files, by whose names the pickle calls them, beside it."""
    for name in {type(part).__module__ for part in module.modules()}:
        file = getattr(sys.modules.get(name), "__file__", None)
        if name.startswith(OWN) and file:
            shutil.copyfile(file, folder / f"{name}.py")


def _versions(module: nn.Module) -> dict[str, str]:
    """Versions of what has to be installed to read the part and export it."""
    packages = {type(part).__module__.partition(".")[0] for part in module.modules()} | {"torch", "onnxscript"}
    owners = importlib.metadata.packages_distributions()
    names = sorted({owner for package in packages for owner in owners.get(package, ())})
    return {name: importlib.metadata.version(name) for name in names}
