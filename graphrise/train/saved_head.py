"""The label head of a finished run."""

from __future__ import annotations

from pathlib import Path

import torch

from graphrise.config import RunConfig
from graphrise.errors import DataError
from graphrise.graph.label_source import source_labels
from graphrise.graph.store import Graph
from graphrise.nn.heads import FullSoftmax, LabelHead, refill_table
from graphrise.train.label_head import label_head
from graphrise.train.trained_on import check_trained_on

_PREFIX = "head."


def load_head(run: Path, config: RunConfig, graph: Graph) -> LabelHead:
    """Read the head that a run was trained with, for `top_labels`; tensors alone are unpickled.

    It is the head of the last step. The exported encoder of a run with `train.ema` is an average.

    Args:
        run: Finished run folder.
        config: Its settings.
        graph: With the labels that it was trained on.

    Raises:
        DataError: The checkpoint or the label table is missing or damaged, or is of other labels
            than the graph's.
    """
    check_trained_on(run, graph, config.labels.source, head_only=True)
    labels, num_labels = source_labels(graph, config.labels)
    head = label_head(config, num_labels, labels)
    if not isinstance(head, FullSoftmax):
        refill_table(head.table, run / "labels")
        return head
    file = run / "checkpoint" / "last.ckpt"
    try:
        state = torch.load(file, map_location="cpu", weights_only=True, mmap=True)["state_dict"]
        mine = {k.removeprefix(_PREFIX): v for k, v in state.items() if k.startswith(_PREFIX)}
        head.load_state_dict(mine)
    except Exception as error:  # whatever a zip archive or the pickle in it can be wrong in
        line = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(
            f"{file}: the label head of the run cannot be read from it, or is not of the graph's "
            f"{num_labels:,} labels ({line})"
        ) from error
    return head
