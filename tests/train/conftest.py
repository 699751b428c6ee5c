"""Batches made by hand, and a trainer that fits a module on them."""

import lightning
import pytest
import torch
from torch.utils.data import DataLoader
from torch_geometric.data import Data

from graphrise.loader.augment import DRAWS
from graphrise.train.module import GraphRise
from graphrise.train.quiet import quiet_lightning

PLAIN = {"size": 32, "scale": 0.0, "shift": 0.0, "rotate": 0.0, "colour": 0.0}


class Loop:
    """Seconds of training without data set, graph and run folder."""

    @staticmethod
    def batch(nodes, seeds=None, forward=0, size=32):
        """Images of nodes, the first `seeds` labelled `node % 3`; edges to all others."""
        pictures = [
            torch.randint(0, 256, (3, size, size), generator=torch.Generator().manual_seed(node))
            for node in nodes
        ]
        seeds = len(nodes) - forward if seeds is None else seeds
        edges = [(i % seeds, i) for i in range(seeds, len(nodes))]
        return Data(
            x=torch.stack(pictures).to(torch.uint8),
            augment=torch.full((len(nodes), DRAWS), 0.5),
            n_id=torch.tensor(nodes),
            batch_size=seeds,
            num_others=0,
            num_forward=forward,
            num_seed_edges=len(edges),
            edge_index=torch.tensor(edges, dtype=torch.long).reshape(-1, 2).T,
            edge_coefficient=torch.ones(len(edges)),
            edge_kind=torch.zeros(len(edges), dtype=torch.long),
            label_row=torch.arange(seeds),
            label_index=torch.tensor(nodes[:seeds]) % 3,
            label_weight=torch.ones(seeds),
        )

    @staticmethod
    def module(make, **stages):
        """A module of three labels whose learning rate stays as it is."""
        torch.set_num_threads(1)
        torch.manual_seed(0)
        steady = {"schedule": "constant", "warmup": 0.0, "weight_decay": 0.0}
        stages["train"] = steady | stages.get("train", {})
        stages["images"] = PLAIN | stages.get("images", {})
        return GraphRise(make.small_run(**stages), 3, 100)

    @staticmethod
    def fit(module, batches, folder, *callbacks, epochs=1, checkpoint=None, plugins=None):
        """Fit, as `train.trainer` sets Lightning up; returns the trainer."""
        with quiet_lightning():
            trainer = lightning.Trainer(
                accelerator="cpu",
                max_epochs=epochs,
                accumulate_grad_batches=module.config.train.accumulate,
                callbacks=list(callbacks),
                plugins=plugins,
                logger=False,
                enable_checkpointing=False,
                enable_progress_bar=False,
                enable_model_summary=False,
                default_root_dir=folder,
            )
            loader = DataLoader(batches, batch_size=None)
            trainer.fit(module, loader, ckpt_path=checkpoint, weights_only=True)
        return trainer


@pytest.fixture(scope="session")
def loop():
    return Loop
