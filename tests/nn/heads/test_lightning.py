"""A head under Lightning's automatic optimisation does what a plain loop does."""

import lightning
import pytest
import torch
from torch.utils.data import DataLoader

from graphrise.nn.heads import LabelTable, LogitRule, SampledSoftmax, Uniform
from graphrise.nn.rowwise import RowwiseAdagrad, Together
from graphrise.train.quiet import quiet_lightning

LABELS, DIM, BATCH = 30, 4, 5


class Module(lightning.LightningModule):
    """A linear encoder and a sampled head."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.encoder = torch.nn.Linear(3, DIM)
        table = LabelTable(LABELS, DIM, seed=1)
        self.head = SampledSoftmax(table, Uniform(LABELS, 7), rule=LogitRule(scale=4.0))

    def loss(self, batch):
        x, label = batch
        return self.head(self.encoder(x), torch.arange(len(x)), label, torch.ones(len(x)))

    def training_step(self, batch, batch_idx):
        return self.loss(batch)

    def optimizers_of(self):
        adamw = torch.optim.AdamW(self.encoder.parameters(), lr=0.01)
        return adamw, RowwiseAdagrad([self.head.table], lr=0.1)

    def configure_optimizers(self):
        both = Together(*self.optimizers_of())
        schedule = torch.optim.lr_scheduler.LambdaLR(both, lambda step: 1 / (step + 1))
        return {"optimizer": both, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def data():
    generator = torch.Generator().manual_seed(2)
    x = torch.randn(8, BATCH, 3, generator=generator)
    return [(one, torch.randint(LABELS, (BATCH,), generator=generator)) for one in x]


def plain(accumulate, clip):
    module = Module()
    parts = module.optimizers_of()
    parameters = [*module.encoder.parameters(), module.head.table.gradient]
    for number, batch in enumerate(data(), start=1):
        (module.loss(batch) / accumulate).backward()
        if number % accumulate:
            continue
        if clip:
            torch.nn.utils.clip_grad_norm_(parameters, clip)
        for part in parts:
            part.step()
            part.zero_grad()
            for group in part.param_groups:
                first = group.setdefault("first", group["lr"])
                group["lr"] = first / (number // accumulate + 1)
    return module


@pytest.mark.parametrize(("accumulate", "clip"), [(1, None), (2, None), (4, 0.2), (1, 0.2)])
def test_equals_a_plain_loop(tmp_path, accumulate, clip):
    module = Module()
    with quiet_lightning():
        trainer = lightning.Trainer(
            accelerator="cpu",
            max_epochs=1,
            accumulate_grad_batches=accumulate,
            gradient_clip_val=clip,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=tmp_path,
        )
        trainer.fit(module, DataLoader(data(), batch_size=None))  # pyright: ignore[reportArgumentType]
    want = plain(accumulate, clip)
    assert trainer.global_step == 8 // accumulate
    torch.testing.assert_close(module.head.table.weight, want.head.table.weight)
    torch.testing.assert_close(module.head.table.state, want.head.table.state)
    for got, expected in zip(module.encoder.parameters(), want.encoder.parameters(), strict=True):
        torch.testing.assert_close(got, expected)
    assert not torch.equal(want.head.table.weight, Module().head.table.weight)
    if clip:
        assert not torch.equal(want.head.table.state, plain(accumulate, None).head.table.state)
