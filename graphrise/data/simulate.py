"""Simulated image-search sessions over real images and real keywords, openly and seeded.

No public click log of images ships in a package. A simulated user has one concept in mind, types
one of its keywords, is shown a page of images that carry the keyword, and clicks: mostly the
concept meant, sometimes another match, rarely an image that has nothing to do with the query.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from graphrise.errors import ConfigError, DataError


@dataclass(frozen=True, kw_only=True)
class SimulatorConfig:
    """Behaviour of the simulated users."""

    sessions: int = 60_000
    """Search sessions; one query and one result page each."""
    page: int = 24
    """Images shown per page at most."""
    intruders: float = 0.5
    """Chance that a page also shows one image that does not carry the keyword."""
    click_meant: float = 0.6
    """Chance of clicking a shown image of the concept meant."""
    click_other: float = 0.03
    """Chance of clicking another image that carries the keyword."""
    click_intruder: float = 0.01
    """Chance of clicking an image that does not."""
    popularity: float = 0.5
    """Zipf exponent of how often a concept is wanted; 0: all alike."""
    drop_unique_keywords: bool = True
    """Leave out keywords that one concept alone has: with them the log nearly holds the labels."""
    seed: int = 0
    """The log follows from it."""

    def __post_init__(self) -> None:
        if self.sessions < 0 or self.page < 1:
            raise ConfigError("simulator: sessions must be >= 0 and page >= 1")
        for name in ("intruders", "click_meant", "click_other", "click_intruder"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"simulator.{name} is a probability, got {getattr(self, name)}")


def shared_keywords(
    keywords: Mapping[int, Sequence[str]], drop_unique: bool
) -> dict[int, list[str]]:
    """Sorted keywords of each concept, without those that one concept alone has if asked."""
    counts = Counter(word for words in keywords.values() for word in set(words))
    least = 2 if drop_unique else 1
    return {c: sorted(w for w in set(words) if counts[w] >= least) for c, words in keywords.items()}


def simulate_impressions(
    image_ids: Sequence[str],
    concepts: Sequence[int],
    keywords: Mapping[int, Sequence[str]],
    config: SimulatorConfig,
) -> pa.Table:
    """Impressions of `config.sessions` simulated sessions.

    Args:
        image_ids: Images that can be shown.
        concepts: Concept of each of them.
        keywords: Words that find a concept.
        config: How users behave.

    Returns:
        Columns `session` (int64), `query` (string), `image_id` (string), `clicked` (bool); one row
        per image shown. The concepts themselves are not in it.

    Raises:
        DataError: No concept with an image has a keyword.
    """
    rng = np.random.default_rng(config.seed)
    words = shared_keywords(keywords, config.drop_unique_keywords)
    concept_of = np.asarray(concepts)
    wanted = [c for c in dict.fromkeys(concepts) if words.get(c)]
    if not wanted:
        raise DataError("simulator: no concept has both an image and a usable keyword")
    carriers: dict[str, np.ndarray] = {}
    for word in sorted({w for c in wanted for w in words[c]}):
        having = {c for c in wanted if word in words[c]}
        carriers[word] = np.flatnonzero([c in having for c in concepts])
    popularity = (1.0 + rng.permutation(len(wanted))) ** -config.popularity
    meant = rng.choice(len(wanted), size=config.sessions, p=popularity / popularity.sum())

    sessions, queries, shown, clicked = [], [], [], []
    for session, index in enumerate(meant):
        concept = wanted[index]
        query = words[concept][rng.integers(len(words[concept]))]
        page, carries = _result_page(rng, carriers[query], concept_of, concept, config)
        chance = np.where(
            concept_of[page] == concept,
            config.click_meant,
            np.where(carries, config.click_other, config.click_intruder),
        )
        sessions.append(np.full(page.size, session))
        queries.extend([query] * page.size)
        shown.append(page)
        clicked.append(rng.random(page.size) < chance)
    names = np.asarray(image_ids, dtype=object)
    order = np.concatenate(shown) if shown else np.empty(0, dtype=np.int64)
    return pa.table(
        {
            "session": pa.array(np.concatenate(sessions) if sessions else order, type=pa.int64()),
            "query": pa.array(queries, type=pa.string()),
            "image_id": pa.array(names[order], type=pa.string()),
            "clicked": pa.array(np.concatenate(clicked) if clicked else order, type=pa.bool_()),
        }
    )


def _result_page(
    rng: np.random.Generator,
    matches: np.ndarray,
    concept_of: np.ndarray,
    concept: int,
    config: SimulatorConfig,
) -> tuple[np.ndarray, np.ndarray]:
    """Images on the page and whether each carries the keyword; the concept meant is on it."""
    page = matches
    if matches.size > config.page:
        page = rng.choice(matches, size=config.page, replace=False)
        if not (concept_of[page] == concept).any():
            # The user scrolls until what was meant shows up.
            page[-1] = rng.choice(matches[concept_of[matches] == concept])
    carries = np.ones(page.size, dtype=bool)
    if rng.random() < config.intruders:
        intruder = rng.integers(concept_of.size)
        if intruder not in page:
            page = np.append(page, intruder)
            carries = np.append(carries, intruder in matches)
    return page, carries
