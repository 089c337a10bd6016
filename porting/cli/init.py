"""`porting init`."""

from __future__ import annotations

import json
from pathlib import Path

import click

_TOML = """# What porting works on in this repository. An entry with all its keys: porting models show {name}
# targets = ["onnxruntime:cpu:fp32", "openvino:cpu:fp32"]   # without it, every target that is here at fp32

[[models]]
id = {name}
source = "factory"
name = {factory}
tiers = ["smoke"]
"""

_MODULE = '''"""A factory: returns a torch.nn.Module, and inputs that it runs on. Replace it with your own model."""

import torch


def build():
    model = torch.nn.Sequential(torch.nn.Linear(16, 32), torch.nn.GELU(), torch.nn.Linear(32, 4))
    return model.eval(), {"input": torch.randn(2, 16)}
'''


@click.command("init")
@click.argument("factory", required=False)
@click.option("--name", help="The model's id.")
def command(factory: str | None, name: str | None) -> None:
    """Write a porting.toml with one entry: FACTORY is package.module:function, or one to start from is written, too."""
    from porting.errors import UsageError
    from porting.workspace import atomic_write

    toml, module = Path("porting.toml"), Path("porting_model.py")
    if toml.exists():
        raise UsageError("there is a porting.toml here already.", "Add a [[models]] table to it.")
    if factory is None:
        factory = "porting_model:build"
        if not module.exists():
            atomic_write(module, _MODULE.encode())
            click.echo(f"Wrote {module}: a small model to start from.")
    elif ":" not in factory:
        raise UsageError(f"{factory!r} is no factory.", "Write package.module:function.")
    name = name or factory.split(":")[0].split(".")[-1]
    atomic_write(toml, _TOML.format(name=json.dumps(name), factory=json.dumps(factory)).encode())
    click.echo("Wrote porting.toml. Next: porting check")
