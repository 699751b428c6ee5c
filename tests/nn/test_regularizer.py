"""Omega by every distance, worked out by hand and by the formulas of Neural Structured Learning.

NSL's `pairwise_distance_wrapper` with `sum_over_axis=-1` has, of a pair (a, b): L1 `sum |a - b|`;
"L2" `sum (a - b)^2`, so the square, which is `squared_l2` here; cosine `1 - <a, b>` of normalised
a and b; KL `sum a log(a / b)`; JS half of KL from each to their midpoint. The last two want
probabilities, so logits go through transform=softmax, which is a part of `kl` and `js` here. (NSL
adds 1e-7 inside of its logarithms; without `sum_over_axis` L1 and L2 are divided by the dimension.)

How pairs are added up differs. With weights w of P pairs NSL's SUM is `sum w d`, its default
SUM_BY_NONZERO_WEIGHTS divides that by the number of pairs with a weight, MEAN by `sum w`. Omega
here is `sum c d / B`: over the images, whether they have pairs or not. So it is SUM over B with
c = w, and the default one where every image has one pair.
"""

import math

import pytest
import torch

from graphrise.errors import ConfigError
from graphrise.nn.regularizer import EdgeRegularizer, edge_gate

# The pairs of the docstring of NSL's wrapper, which says 10.25 of L2 summed over the axis, and
# 5.125 without.
SOURCES = [[1.0, 1.0], [2.0, 2.0], [0.0, 2.0], [5.0, 5.0]]
TARGETS = [[1.0, 1.0], [0.0, 2.0], [4.0, 4.0], [1.0, 4.0]]


def softmax(x):
    total = sum(map(math.exp, x))
    return [math.exp(v) / total for v in x]


def kl(p, q):
    return sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))


def js(p, q):
    middle = [(a + b) / 2 for a, b in zip(p, q, strict=True)]
    return kl(p, middle) / 2 + kl(q, middle) / 2


def nsl_cosine(a, b):
    dot = sum(x * y for x, y in zip(a, b, strict=True))
    return 1 - dot / math.hypot(*a) / math.hypot(*b)


FORMULAS = {
    "l1": lambda a, b: sum(abs(x - y) for x, y in zip(a, b, strict=True)),
    "l2": lambda a, b: math.dist(a, b),
    "squared_l2": lambda a, b: math.dist(a, b) ** 2,
    "cosine": nsl_cosine,
    "kl": lambda a, b: kl(softmax(a), softmax(b)),
    "js": lambda a, b: js(softmax(a), softmax(b)),
}


def omega(kind, sources=SOURCES, targets=TARGETS, coefficient=None, images=None):
    """Of pairs of rows, one an image."""
    z = torch.tensor(sources + targets)
    count = len(sources)
    index = torch.arange(2 * count).view(2, count)
    coefficient = torch.ones(count) if coefficient is None else torch.tensor(coefficient)
    return EdgeRegularizer(kind)(z, index, coefficient, images or count).item()


def test_nsl_own_example():
    assert omega("squared_l2") == pytest.approx(10.25)
    assert omega("squared_l2") / 2 == pytest.approx(5.125)
    # By the same pairs: (0 + 2 + 6 + 5) / 4, and roots of 0, 4, 20 and 17.
    assert omega("l1") == pytest.approx(13 / 4)
    assert omega("l2") == pytest.approx((2 + math.sqrt(20) + math.sqrt(17)) / 4)


@pytest.mark.parametrize(
    ("kind", "want"),
    [
        # a = (3, 4), b = (4, -3): |a - b| is (1, 7), and they are at a right angle.
        ("l1", 8.0),
        ("l2", math.sqrt(50)),
        ("squared_l2", 50.0),
        ("cosine", 1.0),
        # Softmax of (3, 4) is (1, e) / (1 + e), of (4, -3) (e^7, 1) / (1 + e^7).
        ("kl", None),
        ("js", None),
    ],
)
def test_one_pair(kind, want):
    p = [1 / (1 + math.e), math.e / (1 + math.e)]
    q = [math.exp(7) / (1 + math.exp(7)), 1 / (1 + math.exp(7))]
    want = {"kl": kl(p, q), "js": js(p, q)}.get(kind, want)
    assert omega(kind, [[3.0, 4.0]], [[4.0, -3.0]]) == pytest.approx(want, rel=1e-5)


def test_divergences_of_given_probabilities():
    # NSL without a transform takes probabilities: here their logarithms, whose softmax they are.
    p, q = [0.5, 0.25, 0.25], [0.25, 0.5, 0.25]
    logs = [[math.log(x) for x in of] for of in (p, q)]
    # 0.5 log 2 - 0.25 log 2; and to the midpoint (3/8, 3/8, 1/4).
    assert omega("kl", logs[:1], logs[1:]) == pytest.approx(0.25 * math.log(2), rel=1e-5)
    want = 0.5 * math.log(4 / 3) + 0.25 * math.log(2 / 3)
    assert omega("js", logs[:1], logs[1:]) == pytest.approx(want, rel=1e-5)
    # NSL's 1e-7 inside of the logarithms is far below a training step's noise.
    nsl = sum(a * math.log(a + 1e-7) - a * math.log(b + 1e-7) for a, b in zip(p, q, strict=True))
    assert nsl == pytest.approx(kl(p, q), abs=1e-6)


# Divergences take the softmax themselves.
@pytest.mark.parametrize(
    ("kind", "transform"),
    [(k, t) for k in FORMULAS for t in (False, True) if not (t and k in ("kl", "js"))],
)
def test_every_distance_with_and_without_softmax(kind, transform):
    sources = [[0.5, -1.0, 2.0], [1.0, 1.0, 1.5], [-0.3, 0.2, 0.9]]
    targets = [[1.5, 0.0, 2.5], [1.0, -1.0, 0.5], [0.3, 0.8, -0.9]]
    weight = [0.5, 2.0, 0.0]
    change = softmax if transform else list
    pairs = [(change(a), change(b)) for a, b in zip(sources, targets, strict=True)]
    far = [FORMULAS[kind](a, b) for a, b in pairs]
    total = 0.5 * far[0] + 2.0 * far[1]
    z = torch.tensor(sources + targets)
    z = z.softmax(dim=1) if transform else z
    index = torch.arange(6).view(2, 3)
    found = EdgeRegularizer(kind)(z, index, torch.tensor(weight), 3).item()
    assert found == pytest.approx(total / 3, rel=1e-4)
    # NSL's reductions of the same pairs, by the relation above.
    by_nonzero, mean = total / 2, total / 2.5
    assert found * 3 / 2 == pytest.approx(by_nonzero, rel=1e-4)
    assert found * 3 / 2.5 == pytest.approx(mean, rel=1e-4)


def test_images_without_pairs_count():
    # NSL's default would say 10.25 of this too.
    assert omega("squared_l2", images=8) == pytest.approx(10.25 / 2)


def test_an_unknown_distance_is_named():
    with pytest.raises(ConfigError, match="euclid"):
        omega("euclid")


def test_the_gate_by_hand():
    z = torch.tensor([[1.0, 0.0], [3.0, 4.0], [0.0, 2.0], [-1.0, 0.0], [0.0, 0.0]])
    index = torch.tensor([[0, 1, 0, 0, 0], [1, 2, 2, 3, 4]])
    for power, want in ((1.0, [0.6, 0.8, 0, 0, 0]), (2.0, [0.36, 0.64, 0, 0, 0])):
        torch.testing.assert_close(edge_gate(z, index, power), torch.tensor(want))
    assert not edge_gate(z.requires_grad_(), index, 1.0).requires_grad


def test_the_gate_of_half_precision():
    z = torch.tensor([[1.0, 0.0], [3.0, 4.0]], dtype=torch.bfloat16)
    found = edge_gate(z, torch.tensor([[0], [1]]), 0.5)
    torch.testing.assert_close(found, torch.tensor([0.6**0.5]))
