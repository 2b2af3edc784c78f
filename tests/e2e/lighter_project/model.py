"""A project as lighter's users have them: a model, its data, and nothing of lighterd."""

import json
import os

import torch
from lighter import LighterModule
from torch.utils.data import Dataset

from project import torchvision_stand_in  # noqa: F401

TEXTS = ["plain", "a, b", 'say "a"', "two\nlines", "", "0001", "NA"]


class Samples(Dataset):
    def __init__(self, count):
        self.count = count

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        generator = torch.Generator().manual_seed(index)
        return torch.randn(4, generator=generator), index


class Network(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Linear(4, 4))
        self.head = torch.nn.Linear(4, 1)

    def forward(self, x):
        return self.head(self.encoder(x))


class Model(LighterModule):
    def predict_step(self, batch, batch_idx):
        x, index = batch
        generator = torch.Generator().manual_seed(int(index[0]))
        n = len(index)
        return {
            "id": [f"case-{int(i)}" for i in index],
            "index": index,
            "text": [TEXTS[int(i) % len(TEXTS)] for i in index],
            "row": x,
            "half": x[:, 0].half(),
            "is_odd": index % 2 == 1,
            "maybe": [None if i % 3 else float(i) / 7 for i in index.tolist()],
            "fold": 3,
            "picture": torch.rand(n, 3, 5, 4, generator=generator) * 1.4 - 0.2,
            "volume": torch.rand(n, 1, 2, 3, 4, generator=generator),
        }

    def training_step(self, batch, batch_idx):
        return {"loss": self(batch[0]).sum()}

    def validation_step(self, batch, batch_idx):
        return {"loss": self(batch[0]).sum()}

    def on_after_backward(self):
        with open(f"requires_grad.{self.global_rank}", "a") as file:
            frozen = [n for n, p in self.named_parameters() if not p.requires_grad]
            without = [n for n, p in self.named_parameters() if p.grad is None]
            file.write(json.dumps([self.global_step, frozen, without]) + os.linesep)
