"""What case `peers` trains: graphrise's ways and peers', all from the recipe `emoji`."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from benchmarks.peers_losses import Peer
from benchmarks.train import LABELLED
from graphrise.config import EdgeConfig, RunConfig
from graphrise.demo.variants import variants

SHARE = 0.3
"""Of the labels, drawn a step by the head in the style of Partial FC."""
SPREAD, SHUFFLED = ", spread labels", ", shuffled graph"

_PAIRS, _ARC = "MultiSimilarityLoss", {"margin": 28.6, "scale": 20.0}
TRIED: dict[str, tuple[Peer, ...]] = {
    "ArcFace": (
        Peer(loss="ArcFaceLoss"),
        # The batch and the scale of the recipe's cross-entropy.
        Peer(loss="ArcFaceLoss", batch=64, options=_ARC),
        Peer(loss="ArcFaceLoss", batch=64, options={"margin": 11.5, "scale": 20.0}),
        Peer(loss="ArcFaceLoss", batch=64, lr=6e-3, options=_ARC),
        Peer(loss="ArcFaceLoss", batch=64, lr=24e-3, options=_ARC),
    ),
    "Proxy-Anchor": (
        Peer(loss="ProxyAnchorLoss"),
        *(Peer(loss="ProxyAnchorLoss", batch=64, lr=lr) for lr in (12e-3, 6e-3, 3e-3, 15e-4)),
    ),
    "MultiSimilarity": tuple(
        Peer(loss=_PAIRS, per_label=2, lr=lr) for lr in (12e-3, 6e-3, 3e-3, 24e-3, 48e-3)
    ),
    "SupCon": (
        Peer(loss="SupConLoss", per_label=2),
        Peer(loss="SupConLoss", per_label=2, options={"temperature": 0.05}),
        Peer(loss="SupConLoss", per_label=2, lr=6e-3),
        Peer(loss="SupConLoss", per_label=2, options={"temperature": 0.2}),
        Peer(loss="SupConLoss", per_label=2, lr=24e-3),
    ),
}
"""Settings by peer, of which the validation vendor chooses; the first are the papers' constants at
the recipe's learning rate. Given labels are one image each, so that the two images of a label that
a loss of pairs needs are two views of it."""
TRIED |= {
    f"{name}{SPREAD}": tuple(
        dataclasses.replace(peer, per_label=4) if peer.per_label > 1 else peer
        for peer in TRIED[name]
    )
    for name in ("ArcFace", "MultiSimilarity", "SupCon")
}

CHOSEN: dict[str, int] = {
    "ArcFace": 3,  # facebook: 17.1, 22.6, 22.1, 24.2, 22.8
    "Proxy-Anchor": 2,  # facebook: 23.5, 22.0, 26.5, 26.1, 23.1
    "MultiSimilarity": 4,  # facebook: 29.1, 25.1, 23.7, 30.4, 31.1
    "SupCon": 4,  # facebook: 31.7, 26.5, 31.3, 27.3, 32.2
    "ArcFace, spread labels": 0,  # facebook: 16.5, 14.8, 14.1, 16.5, 14.1
    "MultiSimilarity, spread labels": 0,  # facebook: 42.3, 40.3, 35.9, 41.4, 38.8
    "SupCon, spread labels": 0,  # facebook: 33.0, 31.9, 32.9, 28.7, 26.6
}
"""Position in `TRIED`, as `--sweep` printed it: 36,667 passes, seed 0."""


@dataclass(frozen=True, kw_only=True)
class Way:
    """One row of the comparison.

    Attributes:
        name: Unique.
        config: The run, seed 0; of a peer its encoder, images, augmentation, budget and labels.
        peer: Whose loss it is; None: graphrise's.
    """

    name: str
    config: RunConfig
    peer: Peer | None = None

    @property
    def slug(self) -> str:
        """Name as a file name."""
        return "".join(c if c.isalnum() else "-" for c in self.name)


def ways(recipe: RunConfig) -> list[Way]:
    """All of them, cross-entropy first, with a shuffled graph beside each that has a graph.

    The peers that have labels from the graph take the heaviest of each image's spread labels, and
    `spread labels, top label` is cross-entropy on just these.

    Args:
        recipe: What all share.
    """
    change = dataclasses.replace
    demo = {one.name: one.config for one in variants(recipe, full=True)}
    base, term, spread = (demo[n] for n in ("cross-entropy", "edge term", "spread labels"))
    sample = change(recipe.head, kind="partial_fc", num_negatives=round(SHARE * LABELLED))
    nsl = change(base, edges=EdgeConfig(alpha=1.0, of="predictions", distance="kl"))
    top = change(spread, labels=change(spread.labels, spread_top=1))
    found = [Way(name="cross-entropy", config=base)]
    found += [_peer(name, base) for name in TRIED if not name.endswith(SPREAD)]
    found += [
        Way(name=f"Partial FC style, r {SHARE:g} (ours)", config=change(base, head=sample)),
        *_controlled(Way(name="NSL style (ours)", config=nsl)),
        *_controlled(Way(name="edge term", config=term)),
        *_controlled(Way(name="spread labels", config=spread)),
        *_controlled(Way(name="spread labels, top label", config=top)),
    ]
    for name in TRIED:
        if name.endswith(SPREAD):
            found += _controlled(_peer(name, top))
    return found


def _peer(name: str, config: RunConfig) -> Way:
    return Way(name=name, config=config, peer=TRIED[name][CHOSEN[name]])


def _controlled(way: Way) -> list[Way]:
    """It, and the same over a graph whose nodes are dealt to images at random."""
    config = dataclasses.replace(way.config, shuffle_graph=0)
    return [way, dataclasses.replace(way, name=way.name + SHUFFLED, config=config)]
