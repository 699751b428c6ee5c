"""The heaviest of a row's entries, and their order."""

from __future__ import annotations

from graphrise.ops.cpu.jit import compiled


@compiled
def keep_heaviest(key, total, found, top):
    """Move the `top` heaviest of `found` entries to the front, in any order; give how many.

    Among equals the lowest keys stay.
    """
    kept = min(found, top)
    if found == kept:
        return kept
    # A heap of those kept: the one to go next is first.
    for place in range(kept // 2 - 1, -1, -1):
        _sink(key, total, kept, place)
    least = total[0]
    for i in range(kept, found):
        if total[i] < least or (total[i] == least and key[i] > key[0]):
            continue
        key[0], total[0] = key[i], total[i]
        _sink(key, total, kept, 0)
        least = total[0]
    return kept


@compiled
def _sink(key, total, size, place):
    own, weight = key[place], total[place]
    while 2 * place + 1 < size:
        child = 2 * place + 1
        if child + 1 < size and _lighter(
            key[child + 1], total[child + 1], key[child], total[child]
        ):
            child += 1
        if not _lighter(key[child], total[child], own, weight):
            break
        key[place], total[place] = key[child], total[child]
        place = child
    key[place], total[place] = own, weight


@compiled
def _lighter(key, weight, other, against):
    return weight < against or (weight == against and key > other)


@compiled
def sort_by_label(key, total, size):
    """Shell's sort: as fast as any for a few, and never slow for many."""
    gap = 1
    while gap < size // 3:
        gap = 3 * gap + 1
    while gap > 0:
        for i in range(gap, size):
            own, weight = key[i], total[i]
            at = i
            while at >= gap and key[at - gap] > own:
                key[at], total[at] = key[at - gap], total[at - gap]
                at -= gap
            key[at], total[at] = own, weight
        gap //= 3
