"""The loss of one batch by hand, and the schedule over the budget."""

import dataclasses
import math

import pytest
import torch
from torch import nn
from torch_geometric.data import Data

from graphrise.loader.augment import DRAWS
from graphrise.nn.heads import FullSoftmax
from graphrise.train.module import GraphRise


class Table(nn.Module):
    """Stands in for the encoder: image i (its first pixel) has row i of a table."""

    def __init__(self, rows):
        super().__init__()
        self.rows = nn.Parameter(torch.tensor(rows))
        self.mean, self.std = (0.5,) * 3, (0.5,) * 3

    def forward(self, x):
        number = ((x[:, 0, 0, 0] * 0.5 + 0.5) * 255).round().long()
        return self.rows[number]


LOG2 = math.log(2)


@pytest.fixture
def module(make):
    """Two labels; logits are the embedding itself; no smoothing; alpha 0.5."""
    config = make.small_run(
        encoder={"dim": 2, "normalize": False},
        head={"smoothing": 0.0},
        edges={"alpha": 0.5},
        images={"scale": 0.0, "shift": 0.0, "rotate": 0.0, "colour": 0.0},
    )
    module = GraphRise(config, num_labels=2, num_labelled=4)
    module.encoder = Table([[0.0, 0.0], [LOG2, 0.0], [0.0, 3.0]])  # pyright: ignore
    with torch.no_grad():
        assert isinstance(module.head, FullSoftmax)
        module.head.weight.copy_(torch.eye(2))
    return module


def batch_of(edges, coefficients):
    """Seeds are images 0 and 1, image 2 is a neighbour."""
    pictures = torch.arange(3, dtype=torch.uint8).view(3, 1, 1, 1).expand(3, 3, 16, 16)
    return Data(
        x=pictures.contiguous(),
        augment=torch.full((3, DRAWS), 0.5),
        n_id=torch.tensor([5, 7, 9]),
        batch_size=2,
        num_others=0,
        num_forward=0,
        num_seed_edges=len(edges),
        edge_index=torch.tensor(edges, dtype=torch.long).reshape(-1, 2).T,
        edge_coefficient=torch.tensor(coefficients),
        label_row=torch.tensor([0, 1, 1]),
        label_index=torch.tensor([0, 0, 1]),
        label_weight=torch.tensor([1.0, 0.75, 0.25]),
    )


# Seed 0: even odds, log 2. Seed 1: odds 2 to 1, so 0.75 log(3/2) + 0.25 log 3.
LABEL = (LOG2 + 0.75 * math.log(1.5) + 0.25 * math.log(3)) / 2


def test_losses_by_hand(module):
    # d(0, 2) = 9, d(1, 0) = log(2)^2, d(1, 2) = log(2)^2 + 9.
    batch = batch_of([(0, 2), (1, 0), (1, 2)], [1.0, 0.5, 0.5])
    edge = (9 + 0.5 * LOG2**2 + 0.5 * (LOG2**2 + 9)) / 2
    terms = module.losses(batch)
    assert terms["label"].item() == pytest.approx(LABEL, rel=1e-5)
    assert terms["edge"].item() == pytest.approx(edge, rel=1e-5)
    module.log_dict = lambda *_, **__: None
    assert module.training_step(batch, 0).item() == pytest.approx(LABEL + 0.5 * edge, rel=1e-5)
    assert (module.passes, module.seeds) == (3, 2)


def test_each_term_has_its_own_weight(module):
    # Image 2 is an unlabelled one whose edge to image 1 counts: d = log(2)^2 + 9.
    batch = batch_of([(0, 2), (2, 1)], [1.0, 0.5])
    batch.num_others, batch.num_seed_edges = 1, 1
    terms = {name: value.item() for name, value in module.losses(batch).items()}
    want = {"label": LABEL, "edge": 9 / 2, "edge_unlabelled": 0.5 * (LOG2**2 + 9)}
    assert terms == pytest.approx(want, rel=1e-5)
    module.log_dict = lambda *_, **__: None
    for alpha, unlabelled in ((0.5, 0.25), (0.0, 2.0), (3.0, 0.0)):
        edges = dataclasses.replace(module.config.edges, alpha=alpha, alpha_unlabelled=unlabelled)
        module.config = dataclasses.replace(module.config, edges=edges)
        total = LABEL + alpha * want["edge"] + unlabelled * want["edge_unlabelled"]
        assert module.training_step(batch, 0).item() == pytest.approx(total, rel=1e-5)
    assert set(module.latest) == {"label_loss", "edge_loss", "edge_unlabelled_loss", "loss"}


def with_edges(module, **edges):
    changed = dataclasses.replace(module.config.edges, **edges)
    module.config = dataclasses.replace(module.config, edges=changed)
    return module


def test_the_total_weighs_every_term(module):
    names = ("label", "edge", "edge_unlabelled", "edge_label", "adversarial", "adversarial_label")
    terms = {name: torch.tensor(10.0**place) for place, name in enumerate(names)}
    with_edges(module, alpha_unlabelled=0.2, label_alpha=0.3)
    # Adversarial neighbours weigh 1 if there are any.
    want = 1 + 0.5 * 10 + 0.2 * 100 + 0.3 * 1000 + 1.0 * 10_000 + 0.3 * 100_000
    assert module.total(terms).item() == pytest.approx(want)
    few = {"label": terms["label"], "edge_label": terms["edge_label"]}
    assert module.total(few).item() == pytest.approx(1 + 0.3 * 1000)
    # Parts for the log are no terms.
    assert module.total(few | {"edge/knn": terms["edge"]}).item() == pytest.approx(301)


def test_the_total_follows_the_budget(module):
    with_edges(module, alpha_start=0.25, alpha_ramp=0.5, label_alpha=1.0)
    terms = {"label": torch.tensor(1.0), "edge": torch.tensor(2.0), "edge_label": torch.tensor(4.0)}
    budget = module.config.train.passes
    for used, ramp in ((0, 0), (budget / 4, 0), (budget / 2, 0.5), (budget, 1)):
        module.passes = used
        assert module.total(terms).item() == pytest.approx(1 + ramp * (0.5 * 2 + 4))


def test_a_term_of_no_weight_is_not_even_looked_at(module):
    terms = {"label": torch.tensor(1.0), "edge": torch.tensor(math.nan)}
    assert with_edges(module, alpha=0.0, alpha_unlabelled=1.0).total(terms).item() == 1
    assert with_edges(module, alpha=1.0, alpha_start=0.5).total(terms).item() == 1


def test_edges_between_labelled_images_may_weigh_alone(module):
    # The sampler's factor makes those to others 0.
    with_edges(module, alpha=0.0, alpha_labelled=0.25)
    terms = {"label": torch.tensor(1.0), "edge": torch.tensor(8.0)}
    assert module.total(terms).item() == 3


def test_parts_by_kind_are_logged_with_the_others(module):
    batch = batch_of([(0, 2), (1, 0), (1, 2)], [1.0, 0.5, 0.5])
    batch.edge_kind = torch.tensor([1, 4, 5])
    first, second, third = 9.0, 0.5 * LOG2**2, 0.5 * (LOG2**2 + 9)
    want = {"edge_loss/coclick": (first + third) / 2, "edge_loss/knn": (second + third) / 2}
    for every, parts in ((2, {}), (1, want)):
        watch = dataclasses.replace(module.config.watch, every=every)
        module.config = dataclasses.replace(module.config, watch=watch)
        module.training_step(batch, 0)
        logged = {name: v.item() for name, v in module.latest.items() if "/" in name}
        assert logged == pytest.approx(parts, rel=1e-5)
    assert module.latest["edge_loss"].item() == pytest.approx((first + second + third) / 2)


def test_without_drawn_edges_the_loss_is_the_label_loss(module):
    batch = batch_of([], [])
    assert set(module.losses(batch)) == {"label"}
    module.log_dict = lambda *_, **__: None
    assert module.training_step(batch, 0).item() == pytest.approx(LABEL, rel=1e-5)


def test_the_edge_term_pulls_a_neighbour_without_label(module):
    module.losses(batch_of([(0, 2)], [1.0]))["edge"].backward()
    gradient = module.encoder.rows.grad
    torch.testing.assert_close(gradient[2], torch.tensor([0.0, 3.0]))
    torch.testing.assert_close(gradient[0], -gradient[2])


def test_budget_fraction(make):
    module = GraphRise(make.small_run(train={"passes": 200, "epochs": 2.0}), 2, num_labelled=50)
    assert module.fraction() == 0
    module.passes, module.seeds = 50, 20
    assert module.fraction() == 0.25
    module.seeds = 50
    assert module.fraction() == 0.5
    module.seeds = 500
    assert module.fraction() == 1
    only = GraphRise(make.small_run(train={"passes": None, "epochs": 2.0}), 2, num_labelled=50)
    only.passes, only.seeds = 10**6, 25
    assert only.fraction() == 0.25


def test_decay_spares_biases_and_norms(make):
    module = GraphRise(make.small_run(train={"weight_decay": 0.3, "lr": 0.01}), 2, 10)
    optimizer = module.configure_optimizers()["optimizer"]
    decayed, plain = optimizer.param_groups
    assert (decayed["weight_decay"], plain["weight_decay"]) == (0.3, 0.0)
    assert all(p.dim() > 1 for p in decayed["params"])
    assert all(p.dim() <= 1 for p in plain["params"])
    count = len(decayed["params"]) + len(plain["params"])
    assert count == len(list(module.parameters()))


def test_checkpoints_keep_the_counters(make):
    module = GraphRise(make.small_run(), 2, 10)
    module.passes, module.seeds = 7, 5
    checkpoint = {}
    module.on_save_checkpoint(checkpoint)
    other = GraphRise(make.small_run(), 2, 10)
    other.on_load_checkpoint(checkpoint)
    assert (other.passes, other.seeds) == (7, 5)
