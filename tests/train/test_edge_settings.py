"""Runs with every sampler and every place that neighbours' embeddings come from."""

import numpy as np
import pytest
import torch

from graphrise.config import AdversarialConfig, BankConfig, GraphConfig
from graphrise.errors import ConfigError
from graphrise.graph.build import build_graph
from graphrise.nn.encoder import load_encoder
from graphrise.train.module import GraphRise
from graphrise.train.run import train

pytestmark = [
    # Python warns of fork in a process with threads; torch's workers fork all the same.
    pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork.*:DeprecationWarning"),
    # Torch warns of more workers than this process has cores.
    pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning"),
]


@pytest.fixture
def graph(dataset):
    return build_graph(dataset, dataset / "graph", GraphConfig())


@pytest.fixture
def fit(make, dataset, graph, monkeypatch):
    """Train; the batches' images and those encoded without gradient are kept in `seen`."""
    seen = []
    real = GraphRise.embed

    def embed(self, batch):
        z = real(self, batch)
        assert z.size(0) == batch.n_id.numel()
        seen.append((z.size(0), batch.num_forward, batch.num_others))
        return z

    monkeypatch.setattr(GraphRise, "embed", embed)

    def run(folder, **stages):
        seen.clear()
        return train(dataset, graph, folder, make.small_run(**stages), display=make.silent), seen

    return run


@pytest.mark.parametrize("embeddings", ["encoder", "stop_gradient", "bank"])
@pytest.mark.parametrize("sampler", ["pairs", "subgraph"])
@pytest.mark.parametrize("unlabelled", [0.0, 0.7])
def test_every_combination_trains(fit, tmp_path, sampler, embeddings, unlabelled):
    edges = {
        "alpha": 0.5, "sampler": sampler, "embeddings": embeddings, "fanouts": (2, 1),
        "alpha_unlabelled": unlabelled, "unlabelled_ratio": 1.0, "kinds": ("coclick",),
    }  # fmt: skip
    result, seen = fit(tmp_path / "r", edges=edges, train={"passes": 60})
    assert result.passes == sum(count for count, _, _ in seen)
    assert 60 <= result.passes < 60 + seen[-1][0]
    last = result.curve[-1]
    assert all(np.isfinite(value) for value in last.values())
    assert "edge_loss" in last
    assert any(("edge_unlabelled_loss" in point) == (unlabelled > 0) for point in result.curve)
    assert (max(others for _, _, others in seen) > 0) == (unlabelled > 0)
    # A bank's sweep, and neighbours without gradient, are encoded all the same.
    assert (max(forward for _, forward, _ in seen) > 0) == (embeddings != "encoder")
    if embeddings == "bank":
        # Every fourth batch, the first among them, has a sweep.
        assert [forward > 0 for _, forward, _ in seen] == [i % 4 == 0 for i in range(len(seen))]


@pytest.mark.parametrize("mapped", [False, True])
def test_the_bank_of_a_run(fit, tmp_path, mapped):
    bank = {"mapped": mapped, "sweep_every": 1, "max_age": 3}
    edges = {"alpha": 0.5, "embeddings": "bank", "bank": BankConfig(**bank)}
    fit(tmp_path / "r", edges=edges, train={"passes": 60})
    checkpoint = torch.load(tmp_path / "r" / "checkpoint" / "last.ckpt", weights_only=True)
    state = checkpoint["state_dict"]
    assert (state["bank.step"] >= 0).all()
    assert ("bank.table" in state) != mapped
    assert (tmp_path / "r" / "bank.npy").exists() == mapped
    table = np.load(tmp_path / "r" / "bank.npy") if mapped else state["bank.table"].numpy()
    assert (table.shape, table.dtype) == ((12, 8), np.float16)
    np.testing.assert_allclose(np.linalg.norm(table.astype(np.float32), axis=1), 1, atol=1e-2)
    # The export is the encoder alone.
    assert not any("bank" in key for key in load_encoder(tmp_path / "r")[0].state_dict())


def test_a_bank_costs_fewer_passes_than_encoded_neighbours(fit, tmp_path):
    train = {"epochs": 6.0, "passes": None}
    edges = {"alpha": 0.5, "neighbors": 2, "bank": BankConfig(sweep_every=None)}
    cost = {
        embeddings: fit(
            tmp_path / embeddings, train=train, edges=edges | {"embeddings": embeddings}
        )[0]
        for embeddings in ("encoder", "stop_gradient", "bank")
    }
    assert cost["bank"].passes == 6 * 3
    assert cost["encoder"].passes == cost["stop_gradient"].passes > 6 * 3


@pytest.mark.parametrize(("sampler", "embeddings"), [("subgraph", "bank"), ("pairs", "bank")])
def test_loader_settings_change_nothing(fit, tmp_path, sampler, embeddings):
    edges = {"alpha": 1.0, "alpha_unlabelled": 0.5, "sampler": sampler, "embeddings": embeddings}
    weights = []
    for name, images in {
        "plain": {"prefetch": 0},
        "ahead": {"prefetch": 3, "threads": 4},
        "workers": {"workers": 2, "cache_mib": 0},
    }.items():
        fit(tmp_path / name, images=images, edges=edges, labels={"source": "queries"})
        weights.append(load_encoder(tmp_path / name)[0].state_dict())
    for other in weights[1:]:
        assert all(torch.equal(weights[0][key], other[key]) for key in other)


def test_other_settings_are_other_runs(fit, tmp_path):
    found = {}
    for name, edges in {
        "encoder": {"alpha": 1.0},
        "stop": {"alpha": 1.0, "embeddings": "stop_gradient"},
        "subgraph": {"alpha": 1.0, "sampler": "subgraph"},
        "none": {},
    }.items():
        fit(tmp_path / name, edges=edges)
        found[name] = load_encoder(tmp_path / name)[0].projection.weight
    names = list(found)
    for i, one in enumerate(names):
        for other in names[:i]:
            assert not torch.equal(found[one], found[other])


def test_an_unknown_kind_leaves_no_folder(fit, tmp_path):
    for sampler in ("pairs", "subgraph"):
        with pytest.raises(ConfigError, match="likes is no kind of edge; the graph knows coclick"):
            fit(tmp_path / "r", edges={"alpha": 1.0, "sampler": sampler, "kinds": ("likes",)})
        assert not (tmp_path / "r").exists()


def test_an_unknown_factor_leaves_no_folder(fit, tmp_path):
    with pytest.raises(ConfigError, match=r"edges\.alpha_by_kind: likes is no kind of edge"):
        fit(tmp_path / "r", edges={"alpha": 1.0, "alpha_by_kind": {"likes": 2.0}})
    assert not (tmp_path / "r").exists()


def test_a_bank_keeps_what_is_compared(fit, tmp_path):
    bank = BankConfig(dtype="float32", sweep_every=1)
    edges = {"alpha": 0.5, "embeddings": "bank", "bank": bank, "of": "unnormalized"}
    fit(tmp_path / "r", edges=edges, train={"passes": 60})
    checkpoint = torch.load(tmp_path / "r" / "checkpoint" / "last.ckpt", weights_only=True)
    lengths = checkpoint["state_dict"]["bank.table"].norm(dim=1)
    assert not torch.allclose(lengths, torch.ones_like(lengths), atol=0.01)


def test_predictions_of_many_labels_leave_no_folder(fit, tmp_path, monkeypatch):
    from graphrise.config import head

    monkeypatch.setattr(head, "FULL_UP_TO", 2)
    edges = {"alpha": 1.0, "of": "predictions"}
    with pytest.raises(ConfigError, match=r"edges\.of=predictions needs a softmax over all labels"):
        fit(tmp_path / "r", edges=edges, head={"num_negatives": 2})
    assert not (tmp_path / "r").exists()


def test_neighbours_on_labels_and_adversarial_ones(fit, tmp_path):
    edges = {"label_alpha": 0.5, "adversarial": AdversarialConfig(kind="fgsm"), "alpha_start": 0.5}
    result, seen = fit(tmp_path / "r", edges=edges, train={"passes": 60})
    late = {"adversarial_loss", "adversarial_label_loss"}
    assert not late & set(result.curve[0])
    assert {"edge_loss", "edge_label_loss", *late} <= set(result.curve[-1])
    # Two passes a labelled image from half of the budget on.
    encoded = sum(count for count, _, _ in seen)
    assert encoded < result.passes < encoded + 2 * 3 * len(seen)
