"""What TVM is told of every device: its target, and the target of the host that drives it. No compiler is called here."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Iterable, List, Mapping

from porting.serialization import Json

X86_64 = {"kind": "llvm", "mtriple": "x86_64-linux-gnu"}
AARCH64 = {"kind": "llvm", "mtriple": "aarch64-linux-gnu"}
RISCV64 = {"kind": "llvm", "mtriple": "riscv64-linux-gnu", "mabi": "lp64d", "mattr": ["+m", "+a", "+f", "+d", "+c"]}
LOONGARCH64 = {"kind": "llvm", "mtriple": "loongarch64-linux-gnu"}
HEXAGON = {"kind": "llvm", "mtriple": "hexagon-unknown-linux"}
WASM32 = {"kind": "llvm", "mtriple": "wasm32-unknown-unknown-wasm"}


@dataclass(frozen=True)
class Chip:
    """A device that is compiled for only."""

    target: Mapping[str, Json]
    """TVM's description of what the kernels are for."""
    host: Mapping[str, Json] = field(default_factory=dict)
    """That of the CPU that launches them; empty where the kernels are the CPU's own."""

    @property
    def kind(self) -> str:
        return str(self.target["kind"])


CHIPS: Mapping[str, Chip] = {
    "c": Chip({"kind": "c"}),
    "wasm32": Chip(WASM32),
    "opencl": Chip({"kind": "opencl"}, X86_64),
    **{f"opencl-{gpu}": Chip({"kind": "opencl", "device": gpu}, AARCH64) for gpu in ("mali", "adreno")},
    **{
        f"cuda-{arch}": Chip({"kind": "cuda", "arch": arch}, X86_64)
        for arch in ("sm_75", "sm_80", "sm_89", "sm_90", "sm_100", "sm_120")
    },
    **{f"aarch64-{cpu}": Chip({**AARCH64, "mcpu": cpu}) for cpu in ("generic", "cortex-a53", "cortex-a76", "neoverse-n1")},
    "riscv64-generic": Chip({**RISCV64, "mcpu": "generic-rv64"}),
    "riscv64-sifive-u74": Chip({**RISCV64, "mcpu": "sifive-u74"}),
    "loongarch64-la464": Chip({**LOONGARCH64, "mcpu": "la464"}),
    **{f"hexagon-{version}": Chip({**HEXAGON, "mcpu": f"hexagon{version}"}) for version in ("v68", "v73")},
}
"""Those that 0.27 was seen to compile for."""
_VECTORS = ("avx", "amx", "fma", "f16c", "gfni", "vaes", "vpclmul")
"""How LLVM's names of what computes with vectors begin, by which it writes loops; x86 has it or hides it."""


def hidden(implied: Iterable[str], cpuinfo: str) -> List[str]:
    """Vector instructions that LLVM takes a CPU of some name to have, and that Linux does not list for it (/proc/cpuinfo); none
    where it lists nothing."""
    listed = re.search(r"^flags\s*:(.*)$", cpuinfo, re.MULTILINE)
    if listed is None:
        return []
    flags = {flag.replace("_", "") for flag in listed[1].split()}
    return sorted(name for name in implied if name.startswith(_VECTORS) and name.replace("-", "") not in flags)
