"""accuracy - read the published files back, with what Python and torch bring.

python accuracy.py RESULTS
"""

import csv
import sys

import torch

results = sys.argv[1]
with open(f"{results}/predictions.csv", newline="") as file:
    rows = list(csv.DictReader(file))
right = sum(row["pred"] == row["target"] for row in rows)
print(f"accuracy {right / len(rows):.3f}: {right} of {len(rows)} digits")

for row in rows:
    logits = torch.load(f"{results}/logits/{row['id']}.pt", weights_only=True)
    if logits.argmax().item() != int(row["pred"]):
        sys.exit(f"the logits of {row['id']} do not agree with its row")
print(f"the logits of all {len(rows)} .pt files agree with it")
