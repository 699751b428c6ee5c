"""Labels of a graph that its vocabulary does not have: an error, and no run of nonsense."""

import dataclasses

import numpy as np
import pyarrow.parquet as pq
import pytest

from graphrise.errors import DataError
from graphrise.graph.convert.from_edges import graph_from_edges, named_labels
from graphrise.train.run import train


@pytest.fixture
def graph(dataset):
    rows = pq.read_table(dataset / "images.parquet").to_pylist()
    colour = np.array([row["image_id"].split("-")[0] for row in rows])
    source, target = (colour[:, None] == colour).nonzero()
    # Not from the logs: a machine with a GPU may be without DuckDB.
    nodes = np.flatnonzero([row["split"] != "query" for row in rows])
    labels, names = named_labels(nodes, colour[nodes], np.ones(nodes.size), len(rows))
    return graph_from_edges(
        source,
        target,
        image_ids=[row["image_id"] for row in rows],
        labels={"given": labels},
        vocabulary={"given": names},
    )


HEADS = {
    "full": {"kind": "full"},
    "sampled": {"kind": "sampled", "num_negatives": 2},
    "partial": {"kind": "partial_fc", "num_negatives": 2},
}


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
@pytest.mark.parametrize("label", [-1, 99])
def test_a_label_that_the_vocabulary_has_not(make, dataset, graph, tmp_path, head, label):
    labels = graph.labels["given"]
    index = np.where(labels.index == 0, label, labels.index)
    wrong = dataclasses.replace(graph, labels={"given": dataclasses.replace(labels, index=index)})
    config = make.small_run(head=head)
    with pytest.raises(DataError, match=r"must be in \[0, 3\), was the head made for another voc"):
        train(dataset, wrong, tmp_path / "run", config, display=make.silent)
    assert not (tmp_path / "run" / "run.json").exists()
