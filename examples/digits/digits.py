"""digits - the data and the model of this example, in a few lines.

Data: 1,797 handwritten digits, 8 x 8 grey pixels each, that come with scikit-learn. The
last 360 are held out; the others are for training.
"""

import torch
from sklearn.datasets import load_digits

N_HELD_OUT = 360


def load():
    """ids (strings), images (N, 1, 8, 8) from 0 to 1, targets (N)."""
    data = load_digits()
    ids = [f"{i:04}" for i in range(len(data.target))]
    images = torch.as_tensor(data.images, dtype=torch.float32).unsqueeze(1) / 16
    return ids, images, torch.as_tensor(data.target, dtype=torch.int64)


def new_model():
    """Images in, ten logits an image out."""
    return torch.nn.Sequential(
        torch.nn.Conv2d(1, 16, 3, padding=1),
        torch.nn.ReLU(),
        torch.nn.Conv2d(16, 32, 3, padding=1),
        torch.nn.ReLU(),
        torch.nn.MaxPool2d(2),
        torch.nn.Flatten(),
        torch.nn.Linear(32 * 4 * 4, 10),
    )
