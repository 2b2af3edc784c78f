"""trainers - Lightning's, and what a trainer is to the callbacks where there is none."""

import importlib
import os
from types import SimpleNamespace

import pytest

PACKAGES = ["lightning.pytorch", "pytorch_lightning"]


def require(name):
    """Import it, or skip; with $LIGHTERD_REQUIRE_LIGHTNING=1 it must be there."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        if os.environ.get("LIGHTERD_REQUIRE_LIGHTNING") == "1":
            pytest.fail(f"LIGHTERD_REQUIRE_LIGHTNING is set, and {name} is missing: {error}")
        pytest.skip(f"{name} is missing")


def quiet(package, directory, callbacks, **more):
    """A trainer of this package that writes nothing of its own."""
    return package.Trainer(
        accelerator="cpu",
        devices=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=str(directory),
        callbacks=callbacks,
        **more,
    )


def by_hand(rank=0, world_size=1, **more):
    return SimpleNamespace(
        global_rank=rank, world_size=world_size, is_global_zero=rank == 0, **more
    )


def predict(callbacks, trainer, batches, stage="predict"):
    """Call the hooks as a trainer does, which knows its callbacks."""
    trainer.callbacks = callbacks
    for callback in callbacks:
        callback.setup(trainer, None, stage)
    for batch_idx, outputs in enumerate(batches):
        for callback in callbacks:
            callback.on_predict_batch_end(trainer, None, outputs, None, batch_idx)
    for callback in callbacks:
        callback.on_predict_epoch_end(trainer, None)
    for callback in callbacks:
        callback.teardown(trainer, None, stage)
