"""predict - hand what a model predicts to lighterd, from a plain loop.

python predict.py MODEL.pt RESULTS

Several processes share the work where RANK and WORLD_SIZE say so; torchrun sets them.
"""

import os
import sys

import lighterd
import torch
from digits import N_HELD_OUT, load, new_model
from torch.nn.functional import interpolate

BATCH_SIZE = 32
rank = int(os.environ.get("RANK", 0))
world_size = int(os.environ.get("WORLD_SIZE", 1))

model_path, results = sys.argv[1:]
model = new_model()
model.load_state_dict(torch.load(model_path, weights_only=True))

ids, images, targets = load()
first = len(ids) - N_HELD_OUT
mine = range(first + rank, len(ids), world_size)  # this process's share

# What is written, and where. Each batch is handed over once, for all three.
table = lighterd.csv(
    f"{results}/predictions.csv",
    keys=["id", "pred", "target", "probability"],
)
logit_files = lighterd.file(
    f"{results}/logits", value_key="logits", writer_fn="tensor", name_key="id"
)
pictures = lighterd.file(
    f"{results}/digits", value_key="picture", writer_fn="image_2d", name_key="name"
)

with torch.no_grad(), lighterd.run(table, logit_files, pictures) as out:
    for start in range(0, len(mine), BATCH_SIZE):
        batch = list(mine[start : start + BATCH_SIZE])
        logits = model(images[batch])
        probability, pred = logits.softmax(dim=1).max(dim=1)
        out.write(
            {
                "id": [ids[i] for i in batch],
                "pred": pred,
                "target": targets[batch],
                "probability": probability,
                "logits": logits,
                # large enough to look at, in a folder for each digit that was seen
                "picture": interpolate(images[batch], scale_factor=16, mode="bilinear"),
                "name": [f"{p}/{ids[i]}" for p, i in zip(pred.tolist(), batch)],
            }
        )
# Here all ranks have ended, and all files are there, whole.

print(f"rank {rank} of {world_size}: handed over {len(mine)} samples")
