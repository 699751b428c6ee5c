"""Accuracy of a run on a set that datasets/ogbn.py wrote, as the Open Graph Benchmark has it.

    python datasets/ogbn_score.py RUN                          # split=val and split=test
    python datasets/ogbn_score.py RUN --evaluator ogbn-arxiv   # also by OGB's own Evaluator

A node's class is the label of the largest logit of the run's label head. OGB's Evaluator needs `pip
install graphrise[ogb]`; it gives the same number.
"""

from __future__ import annotations

from pathlib import Path

from graphrise.cli.script import run_script


def main(
    run: Path,
    dataset: Path | None = None,
    sets: tuple[str, ...] = ("split=val", "split=test"),
    evaluator: str | None = None,
) -> None:
    """Print the accuracy of a run.

    Args:
        run: Finished run folder.
        dataset: Folder that ogbn.py wrote; by default the one the run was trained on.
        sets: Nodes to classify, column=value.
        evaluator: Name of the set at OGB, such as ogbn-arxiv, to ask its Evaluator too.
    """
    from graphrise.evaluate.ogb import accuracy, classified, ogb_score

    for where in sets:
        found = classified(run, where, dataset=dataset)
        line = f"{where}: accuracy {accuracy(found):.4f} of {len(found['y_true']):,} nodes"
        if evaluator is not None:
            line += f"; OGB's Evaluator: {ogb_score(evaluator, found)}"
        print(line)


if __name__ == "__main__":
    run_script(main)
