"""Adversarial neighbours in training: what they are, what they cost, and what they leave alone."""

import math

import pytest
import torch
from torch.nn import functional

from graphrise.nn.heads import FullSoftmax

VAT = {"kind": "vat", "size": 2.0}
FGSM = {"kind": "fgsm", "size": 2.0}


@pytest.fixture
def module(make, loop):
    """A function that makes a module of three labels; keywords are those of the edges' settings."""

    def of(adversarial, bn="shared", head=None, **edges):
        from graphrise.config import AdversarialConfig

        edges = {"adversarial": AdversarialConfig(**adversarial), **edges}
        return loop.module(
            make, edges=edges, encoder={"bn": bn}, head=head or {}, train={"passes": 1000}
        )

    return of


def seen_by(module):
    """The encoder's inputs, from now on."""
    seen = []
    module.encoder.register_forward_pre_hook(lambda _, args: seen.append(args[0].detach().clone()))
    return seen


@pytest.mark.parametrize(
    ("kind", "steps", "passes"), [("fgsm", 1, 2), ("vat", 1, 3), ("vat", 3, 5)]
)
def test_every_pass_is_counted(module, loop, kind, steps, passes):
    net = module({"kind": kind, "steps": steps})
    seen, batch = seen_by(net), loop.batch(range(5), seeds=3)
    net.training_step(batch, 0)
    assert net.passes == sum(len(x) for x in seen) == 5 + 3 * passes
    assert net.seeds == 3


@pytest.mark.parametrize("norm", ["l2", "infinity"])
@pytest.mark.parametrize("kind", ["fgsm", "vat"])
def test_the_neighbour_is_as_far_as_asked(module, loop, kind, norm):
    net = module({"kind": kind, "size": 0.7, "norm": norm})
    seen = seen_by(net)
    terms = net.losses(loop.batch(range(5), seeds=3))
    move = (seen[-1] - seen[0][:3]).flatten(1)
    length = torch.linalg.vector_norm(move, ord=2 if norm == "l2" else math.inf, dim=1)
    torch.testing.assert_close(length, torch.full((3,), 0.7), rtol=1e-3, atol=1e-4)
    assert set(terms) == {"label", "edge", "adversarial"}


@pytest.mark.parametrize("adversarial", [FGSM, VAT])
@pytest.mark.parametrize("distance", ["squared_l2", "cosine", "kl"])
@pytest.mark.parametrize("of", ["embedding", "unnormalized", "predictions"])
def test_the_term_by_hand(module, loop, adversarial, distance, of):
    net = module(adversarial, distance=distance, of=of)
    seen, batch = seen_by(net), loop.batch(range(5), seeds=3)
    term = net.losses(batch)["adversarial"]
    # What is seen last is the neighbours, and the pictures themselves alone come second.
    clean, moved = seen[1], seen[-1]
    torch.testing.assert_close(clean, seen[0][:3], rtol=0, atol=0)
    with torch.no_grad():
        pair = []
        for x in (clean, moved):
            raw = net.encoder(x, finish=False)
            z = raw if of == "unnormalized" else functional.normalize(raw, dim=1)
            assert isinstance(net.head, FullSoftmax)
            pair.append(net.head.logits(z) if of == "predictions" else z)
        soft = of == "predictions" or distance == "kl"
        u, v = (x.softmax(dim=1) for x in pair) if soft else pair
        far = {
            "squared_l2": lambda: (u - v).square().sum(1),
            "cosine": lambda: 1 - functional.cosine_similarity(u, v),
            "kl": lambda: (u * (u / v).log()).sum(1),
        }[distance]()
    torch.testing.assert_close(term.detach(), far.mean(), rtol=1e-3, atol=1e-5)


def test_fgsm_raises_the_label_loss_and_vat_the_distance(module, loop):
    batch = loop.batch(range(6))
    for adversarial in (FGSM, VAT):
        net = module(adversarial)
        seen = seen_by(net)
        net.losses(batch)
        clean, moved = seen[0], seen[-1]
        step = (moved - clean).flatten(1)
        other = torch.randn(clean.shape, generator=torch.Generator().manual_seed(1))
        length = step.norm(dim=1).view(-1, 1, 1, 1)
        other = clean + other * length / other.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
        with torch.no_grad():
            z, there, elsewhere = (net.encoder(x) for x in (clean, moved, other))
            labels = (batch.label_row, batch.label_index, batch.label_weight)
            if adversarial is FGSM:
                assert net.head(there, *labels) > net.head(z, *labels)
                assert net.head(there, *labels) > net.head(elsewhere, *labels)
            else:
                assert (there - z).square().sum() > (elsewhere - z).square().sum()


@pytest.mark.parametrize("adversarial", [FGSM, VAT])
@pytest.mark.parametrize("bn", ["shared", "apart"])
def test_running_statistics_are_those_of_a_step_without(module, loop, adversarial, bn):
    plain, net = module({}, bn=bn), module(adversarial, bn=bn)
    net.load_state_dict(plain.state_dict())
    batch = loop.batch(range(5), seeds=3)
    plain.losses(batch)
    net.losses(batch)["adversarial"].backward()
    before, after = plain.encoder.state_dict(), net.encoder.state_dict()
    assert any("running" in key for key in before)
    assert all(torch.equal(value, after[key]) for key, value in before.items())


@pytest.mark.parametrize("adversarial", [FGSM, VAT])
def test_the_other_terms_are_those_of_a_step_without(module, loop, adversarial):
    plain, net = module({}, alpha=0.5), module(adversarial, alpha=0.5)
    net.load_state_dict(plain.state_dict())
    batch = loop.batch(range(5), seeds=3)
    want, found = plain.losses(batch), net.losses(batch)
    assert all(torch.equal(value, found[name]) for name, value in want.items())
    # Looking for the neighbour leaves no gradient behind.
    assert all(p.grad is None for p in net.parameters())


def test_gradient_goes_to_the_neighbour_alone(module, loop):
    net = module(VAT)
    kept = []
    net.encoder.register_forward_hook(lambda _, args, z: kept.append(z))
    term = net.losses(loop.batch(range(5), seeds=3))["adversarial"]
    gradients = torch.autograd.grad(term, kept[-1:] + kept[:1], allow_unused=True)
    assert gradients[0].any()
    assert gradients[1] is None
    assert not kept[1].requires_grad


def test_a_vat_run_repeats_and_other_seeds_differ(make, loop):
    from graphrise.config import AdversarialConfig

    found = []
    for seed in (0, 0, 1):
        net = loop.module(
            make, edges={"adversarial": AdversarialConfig(**VAT)}, train={"seed": seed}
        )
        found.append(net.losses(loop.batch(range(4)))["adversarial"].item())
    assert found[0] == found[1] != found[2]


def test_neighbours_are_trained_on_labels_too(module, loop):
    net = module(FGSM | {"alpha": 0.0}, label_alpha=0.5)
    seen, batch = seen_by(net), loop.batch(range(5), seeds=3)
    terms = net.losses(batch)
    assert set(terms) == {"label", "edge", "edge_label", "adversarial", "adversarial_label"}
    labels = (batch.label_row, batch.label_index, batch.label_weight)
    want = net.head(net.encoder(seen[-1]), *labels)
    torch.testing.assert_close(terms["adversarial_label"], want, rtol=1e-4, atol=1e-5)
    total = terms["label"] + 0.5 * (terms["edge_label"] + terms["adversarial_label"])
    torch.testing.assert_close(net.total(terms), total)


def test_a_sampled_head_takes_one_step(module, loop):
    net = module(FGSM, head={"kind": "sampled", "num_negatives": 2}, label_alpha=0.5)
    net.training_step(loop.batch(range(5), seeds=3), 0).backward()
    assert int(net.head.step) == 1
    assert net.head.table.gradient.grad is not None


def test_none_are_made_before_the_terms_count(module, loop):
    net = module(VAT, alpha_start=0.5)
    batch = loop.batch(range(5), seeds=3)
    net.training_step(batch, 0)
    assert net.passes == 5
    assert "adversarial_loss" not in net.latest
    net.passes = 500
    net.training_step(batch, 0)
    assert net.passes == 505 + 3 * 3
    assert "adversarial_loss" in net.latest


@pytest.mark.parametrize("adversarial", [FGSM, VAT])
def test_pictures_that_could_not_be_read_count_nothing(module, loop, adversarial):
    net, batch = module(adversarial), loop.batch(range(4))
    net.eval()
    whole = net.losses(batch)["adversarial"]
    batch.bad_node, batch.bad_reason = torch.tensor([1, 2]), ["wreck", "wreck"]
    fewer = net.losses(batch)["adversarial"]
    batch.bad_node = torch.tensor([0, 3])
    others = net.losses(batch)["adversarial"]
    assert 0 < fewer < whole
    torch.testing.assert_close(fewer + others, whole)


def test_under_autocast_the_encoder_still_learns(module, loop):
    for adversarial in (FGSM, VAT):
        net, batch = module(adversarial), loop.batch(range(5), seeds=3)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            terms = net.losses(batch)
        terms["adversarial"].backward()
        gradients = [p.grad for p in net.encoder.parameters()]
        assert all(g is not None and g.isfinite().all() for g in gradients)
        assert gradients[0].any()
