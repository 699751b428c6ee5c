"""Names of kinds of edges as bits."""

from __future__ import annotations

from graphrise.errors import ConfigError
from graphrise.graph.store import Graph


def kind_mask(
    graph: Graph, kinds: tuple[str, ...] | None, setting: str = "edges.kinds"
) -> int | None:
    """Bits of some kinds of edges; None: every kind.

    Args:
        graph: Knows its kinds.
        kinds: Their names.
        setting: What names them, for errors.

    Raises:
        ConfigError: The graph knows no such kind.
    """
    if kinds is None:
        return None
    unknown = sorted(set(kinds) - set(graph.kinds))
    if unknown or not kinds:
        raise ConfigError(
            f"{setting}: {', '.join(unknown) or 'none'} is no kind of edge; the graph knows "
            f"{', '.join(sorted(graph.kinds))}"
        )
    mask = 0
    for name in kinds:
        mask |= graph.kinds[name]
    return mask
