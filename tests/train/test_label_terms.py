"""Label losses of images and of their neighbours, against a plain loop over edges."""

import pytest
import torch
from torch_geometric.data import Data

from graphrise.nn.heads import FullSoftmax, InBatch, LabelTable, LogUniform, SampledSoftmax
from graphrise.nn.regularizer import EdgeRegularizer
from graphrise.train.edge_terms import edge_terms
from graphrise.train.label_terms import label_terms, peeked_loss

LABELS, DIM = 6, 3
EDGES = [(0, 3, 0.5), (0, 1, 2.0), (1, 3, 1.5), (2, 4, 7.0)]


def full():
    torch.manual_seed(0)
    return FullSoftmax(DIM, LABELS, smoothing=0.1)


def sampled():
    table = LabelTable(LABELS, DIM, seed=1)
    return SampledSoftmax(table, LogUniform(LABELS, 3, seed=4), smoothing=0.1)


def in_batch():
    return SampledSoftmax(LabelTable(LABELS, DIM, seed=1), InBatch(torch.arange(6.0, 0, -1)))


def given(edges=EDGES):
    """Embeddings and a batch: images 0 and 1 have labels, 2 has none, 3 and 4 are drawn."""
    row, col, coefficient = torch.tensor(edges).reshape(-1, 3).T
    batch = Data(
        edge_index=torch.stack((row, col)).long(),
        edge_coefficient=coefficient,
        batch_size=3,
        num_others=0,
        num_seed_edges=len(edges),
        label_row=torch.tensor([1, 0, 1]),
        label_index=torch.tensor([2, 0, 5]),
        label_weight=torch.tensor([0.25, 1.0, 0.75]),
    )
    z = torch.randn(5, DIM, generator=torch.Generator().manual_seed(1), requires_grad=True)
    return z, batch


def drawn(z, batch, **options):
    return edge_terms(EdgeRegularizer(), z, batch, **options).get("edge")


def alone(head, z, image, batch):
    """CE(q_image, p(z)): a batch of this one image, of a head whose sample is all labels."""
    mine = batch.label_row == image
    row = torch.zeros_like(batch.label_row[mine])
    return head(z.unsqueeze(0), row, batch.label_index[mine], batch.label_weight[mine])


def test_neighbours_learn_the_labels_of_who_drew_them():
    head, (z, batch) = full(), given()
    terms = label_terms(head, z, batch, neighbors=True, edges=drawn(z, batch))
    assert set(terms) == {"label", "edge_label"}
    each = [c * alone(head, z[v], u, batch) for u, v, c in EDGES]
    want = torch.stack(each).sum() / 3
    torch.testing.assert_close(terms["edge_label"], want)
    torch.testing.assert_close(
        terms["label"], sum(alone(head, z[u], u, batch) for u in range(3)) / 3
    )
    (gradient,) = torch.autograd.grad(terms["edge_label"], z, retain_graph=True)
    (of_loop,) = torch.autograd.grad(want, z)
    torch.testing.assert_close(gradient, of_loop)
    # To the drawn ends alone; image 2 has no label, so node 4 learns nothing.
    assert gradient.any(dim=1).tolist() == [False, True, False, True, False]


def test_the_gate_counts_here_too_and_gets_no_gradient():
    head, (z, batch) = full(), given([(0, 3, 2.0)])
    cosine = torch.cosine_similarity(z[0], z[3], dim=0).item()
    with torch.no_grad():
        z[3] = z[3] if cosine > 0 else -z[3]
    gated = label_terms(head, z, batch, neighbors=True, edges=drawn(z, batch, gate=2.0))
    want = 2.0 * cosine**2 * alone(head, z[3], 0, batch) / 3
    torch.testing.assert_close(gated["edge_label"], want)
    (gradient,) = torch.autograd.grad(gated["edge_label"], z)
    assert not gradient[0].any()


def test_adversarial_neighbours_count_one_each():
    head, (z, batch) = full(), given()
    moved = torch.randn(3, DIM, requires_grad=True)
    terms = label_terms(
        head, z, batch, neighbors=True, edges=drawn(z, batch), adversarial=moved
    )  # fmt: skip
    assert set(terms) == {"label", "edge_label", "adversarial_label"}
    want = sum(alone(head, moved[u], u, batch) for u in range(3)) / 3
    torch.testing.assert_close(terms["adversarial_label"], want)
    without = label_terms(head, z, batch, neighbors=True, edges=drawn(z, batch))
    torch.testing.assert_close(terms["edge_label"], without["edge_label"])


def test_without_an_edge_the_term_is_there_and_zero():
    # Of several ranks all must give their head the same terms.
    z, batch = given([])
    assert drawn(z, batch) is None
    terms = label_terms(full(), z, batch, neighbors=True)
    assert terms["edge_label"].item() == 0
    assert set(label_terms(full(), z, batch)) == {"label"}


@pytest.mark.parametrize("make_head", [full, sampled, in_batch])
def test_the_images_own_loss_and_sample_do_not_change(make_head):
    one, other = make_head(), make_head()
    for _ in range(3):
        z, batch = given()
        plain = label_terms(one, z, batch)["label"]
        found = label_terms(other, z, batch, neighbors=True, edges=drawn(z, batch))["label"]
        torch.testing.assert_close(found, plain)
    assert all(torch.equal(v, other.state_dict()[k]) for k, v in one.state_dict().items())
    if not isinstance(one, FullSoftmax):
        assert int(one.step) == int(other.step) == 3


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("make_head", [full, sampled])
def test_a_peek_is_no_step_and_the_same_sample(make_head, training):
    head, (z, batch) = make_head().train(training), given()
    before = {key: value.clone() for key, value in head.state_dict().items()}
    peeked = peeked_loss(head, z[:3], batch)
    assert head.training == training
    assert all(torch.equal(value, head.state_dict()[key]) for key, value in before.items())
    torch.testing.assert_close(peeked, label_terms(head, z, batch)["label"], rtol=0, atol=0)


def test_a_gradient_through_a_peek_leaves_the_label_vectors_alone():
    head, (z, batch) = sampled(), given()
    torch.autograd.grad(peeked_loss(head, z[:3], batch), z)
    assert head.table.gradient.grad is None
