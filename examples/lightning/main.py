"""main - train and predict as a configuration says.

python main.py [CONFIG.yaml]
"""

import csv
import importlib
import logging
import sys
from pathlib import Path

import torch
import yaml


def build(node):
    """The objects that `_target_` entries stand for, from the inside out."""
    if isinstance(node, list):
        return [build(each) for each in node]
    if not isinstance(node, dict):
        return node
    arguments = {key: build(value) for key, value in node.items() if key != "_target_"}
    if "_target_" not in node:
        return arguments
    module, _, name = node["_target_"].rpartition(".")
    return getattr(importlib.import_module(module), name)(**arguments)


# The freezers say what they do.
logging.basicConfig(format="%(message)s", stream=sys.stdout)
logging.getLogger("lighterd").setLevel(logging.INFO)
torch.manual_seed(0)

path = sys.argv[1] if len(sys.argv) > 1 else Path(__file__).with_name("config.yaml")
config = build(yaml.safe_load(Path(path).read_text()))
config["trainer"].fit(config["model"], config["data"])
config["trainer"].predict(config["model"], config["data"])
# Here all files are there, whole.

with open("results/predictions.csv", newline="") as file:
    rows = list(csv.DictReader(file))
right = sum(row["pred"] == row["target"] for row in rows)
print(f"{right} of {len(rows)} digits are right; see results/")
