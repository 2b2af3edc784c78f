"""digits - data and model of this example: handwritten digits of 8 x 8 grey pixels.

They come with scikit-learn; without it, digits are made from noise.
"""

import lightning.pytorch as pl
import torch
from torch.nn.functional import cross_entropy, interpolate
from torch.utils.data import DataLoader, Subset, TensorDataset

N_HELD_OUT = 360


def load():
    """Images (N, 1, 8, 8) from 0 to 1, and targets (N)."""
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        noise = torch.Generator().manual_seed(0)
        targets = torch.arange(1797) % 10
        ideal = torch.rand(10, 1, 8, 8, generator=noise)
        images = ideal[targets] + 0.2 * torch.randn(1797, 1, 8, 8, generator=noise)
        return images.clamp(0, 1), targets
    data = load_digits()
    return torch.as_tensor(data.images).float().unsqueeze(1) / 16, torch.as_tensor(data.target)


class Data(pl.LightningDataModule):
    def __init__(self, batch_size):
        super().__init__()
        self.batch_size = batch_size
        images, targets = load()
        self.samples = TensorDataset(torch.arange(len(targets)), images, targets)

    def train_dataloader(self):
        mine = Subset(self.samples, range(len(self.samples) - N_HELD_OUT))
        return DataLoader(mine, batch_size=self.batch_size, shuffle=True)

    def predict_dataloader(self):
        n = len(self.samples)
        held_out = Subset(self.samples, range(n - N_HELD_OUT, n))
        return DataLoader(held_out, batch_size=self.batch_size)


class Model(pl.LightningModule):
    def __init__(self, learning_rate):
        super().__init__()
        self.learning_rate = learning_rate
        self.features = torch.nn.Sequential(
            torch.nn.Conv2d(1, 16, 3, padding=1),
            torch.nn.ReLU(),
            torch.nn.Conv2d(16, 32, 3, padding=1),
            torch.nn.ReLU(),
            torch.nn.MaxPool2d(2),
            torch.nn.Flatten(),
        )
        self.head = torch.nn.Linear(32 * 4 * 4, 10)

    def forward(self, images):
        return self.head(self.features(images))

    def training_step(self, batch, batch_idx):
        _, images, targets = batch
        return cross_entropy(self(images), targets)

    def predict_step(self, batch, batch_idx):
        numbers, images, targets = batch
        logits = self(images)
        preds = logits.argmax(dim=1)
        ids = [f"{number:04}" for number in numbers.tolist()]
        return {
            "id": ids,
            "pred": preds,
            "target": targets,
            "logits": logits,
            # large enough to look at, in a folder for each digit that was seen
            "picture": interpolate(images, scale_factor=16, mode="bilinear"),
            "name": [f"{pred}/{id}" for pred, id in zip(preds.tolist(), ids)],
        }

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), self.learning_rate)
