"""The bare parts of looking a model's operators up: transformers' net on the meta device, called once.

python benchmarks/meta.py FOLDER_WITH_CONFIG
"""

import sys

import torch

from porting.sources._torchvision import make_importable

make_importable()

from transformers import AutoConfig, AutoModelForCausalLM  # noqa: E402

torch.set_num_threads(1)
with torch.device("meta"), torch.no_grad():
    model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(sys.argv[1]))
    model(input_ids=torch.zeros(2, 9, dtype=torch.int64))
print(sum(parameter.numel() for parameter in model.parameters()))
