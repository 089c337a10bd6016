"""IREE's runtime alone. The module holds native code for the chip it was made for; for this CPU, the one it was made on.

Needs: pip install iree-base-runtime numpy
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import iree.runtime as iree
import numpy as np

HERE = Path(__file__).resolve().parent


def run(artifact: dict[str, Any], target: str, inputs: dict[str, np.ndarray[Any, Any]]) -> dict[str, np.ndarray[Any, Any]]:
    """Load the module and its weights, and run the model once."""
    driver = artifact["options"]["driver"]
    config = iree.Config("local-task" if driver == "local" else driver)
    instance, modules = config.vm_instance, []
    for weights in artifact["files"][1:]:
        index = iree.ParameterIndex()
        index.load(str(HERE / weights))
        modules.append(iree.create_io_parameters_module(instance, index.create_provider("model")))
    modules.append(iree.create_hal_module(instance, config.device))
    program = iree.VmModule.copy_buffer(instance, (HERE / artifact["files"][0]).read_bytes())
    (entry,) = [name for name in program.function_names if not re.search(r"^__|\$async$", name)]
    print(f"{artifact['files'][0]} for {target} on {config.device}")
    answer = iree.load_vm_modules(*modules, program, config=config)[-1][entry](
        *[inputs[spec["name"]] for spec in artifact["inputs"]]
    )
    results = answer if isinstance(answer, (tuple, list)) else [answer]
    names = [spec["name"] for spec in artifact["outputs"]]
    return {name: np.array(value.to_host()) for name, value in zip(names, results)}  # noqa: B905 -- runs on Python 3.9 as well
