"""Trains minGPT for three steps on made-up tokens, and lets it go on writing."""

import torch
from mingpt.model import GPT
from mingpt.trainer import Trainer
from mingpt.utils import set_seed

set_seed(0)


class Made(torch.utils.data.Dataset):
    def __len__(self):
        return 16

    def __getitem__(self, index):
        row = torch.arange(index, index + 9) % 11
        return row[:-1], row[1:]


config = GPT.get_default_config()
config.model_type, config.n_layer, config.n_head, config.n_embd = None, 2, 2, 16
config.vocab_size, config.block_size = 11, 8
config.embd_pdrop = config.resid_pdrop = config.attn_pdrop = 0.0
model = GPT(config)
settings = Trainer.get_default_config()
settings.max_iters, settings.num_workers, settings.batch_size = 3, 0, 4
trainer = Trainer(settings, model, Made())
trainer.run()
model.eval()
print(model.generate(torch.zeros(1, 1, dtype=torch.long, device=trainer.device), 4, do_sample=False).tolist())
