"""train - fit the model to the digits. There is nothing of lighterd in here.

python train.py MODEL.pt
"""

import sys

import torch
from digits import N_HELD_OUT, load, new_model

torch.manual_seed(0)
_, images, targets = load()
images, targets = images[:-N_HELD_OUT], targets[:-N_HELD_OUT]
model = new_model()
optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)

for epoch in range(1, 11):
    for chosen in torch.randperm(len(images)).split(64):
        loss = torch.nn.functional.cross_entropy(model(images[chosen]), targets[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    print(f"epoch {epoch:2}: the last batch's loss was {loss.item():.3f}")

torch.save(model.state_dict(), sys.argv[1])
