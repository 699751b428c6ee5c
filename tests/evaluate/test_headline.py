"""The first sentence says what the numbers say, also when they say no."""

from dataclasses import replace

from graphrise.evaluate.headline import headline


def with_shares(report, plain, graph, **costs):
    """The report with these seeds of the baseline and of the featured model."""
    models = []
    for model, shares in zip(report.models, (plain, graph), strict=False):
        extra = costs if model.name == "graph" else {}
        runs = [
            replace(model.runs[0], seed=seed, metrics={"far": {"recall@1": share}}, **extra)
            for seed, share in enumerate(shares)
        ]
        models.append(replace(model, runs=runs))
    return replace(report, models=models)


def test_a_gain(report):
    found = headline(with_shares(report, [0.2, 0.21, 0.19], [0.3, 0.31, 0.29]))
    assert found.sentence == (
        "graph reaches 1.50x the recall@1 of plain on far: 30.0 ± 1.0 % against 20.0 ± 1.0 %."
    )
    assert found.remarks == (
        "Every seed of graph lies above every seed of plain.",
        "It took 1.00x the encoder passes and 1.00x the training time of plain.",
    )


def test_a_loss_is_called_one(report):
    found = headline(with_shares(report, [0.4] * 3, [0.3] * 3))
    assert found.sentence == (
        "graph falls short of plain on far: 0.75x its recall@1, "
        "30.0 ± 0.0 % against 40.0 ± 0.0 %. No gain here."
    )
    assert found.remarks[0] == "Every seed of graph lies below every seed of plain."


def test_level(report):
    found = headline(with_shares(report, [0.4], [0.4]))
    assert found.sentence == "graph is level with plain in recall@1 on far: 40.0 % against 40.0 %."
    assert found.remarks[0] == "One seed only: a hint, not yet a result."


def test_overlap_and_few_seeds(report):
    found = headline(with_shares(report, [0.2, 0.4], [0.3, 0.5, 0.4]))
    assert found.remarks[:2] == (
        "Seeds of the two overlap: the difference may be chance.",
        "2 seeds only: a hint, not yet a result.",
    )


def test_higher_cost_is_said(report):
    found = headline(with_shares(report, [0.2] * 3, [0.3] * 3, encoder_passes=2000))
    assert found.remarks[-1] == (
        "It took 2.00x the encoder passes and 1.00x the training time of plain, "
        "so part of the difference may be paid for by training longer."
    )


def test_baseline_that_is_never_right_or_never_trained(report):
    found = headline(with_shares(report, [0.0] * 3, [0.3] * 3))
    assert (
        found.sentence == "graph reaches recall@1 30.0 ± 0.0 % against 0.0 ± 0.0 % of plain on far."
    )
    assert found.remarks[0] == "Every seed of graph lies above every seed of plain."
    report = with_shares(report, [0.1], [0.3])
    frozen = replace(report.models[0].runs[0], encoder_passes=0, seconds=0.0)
    report = replace(report, models=[replace(report.models[0], runs=[frozen]), report.models[1]])
    assert headline(report).remarks[-1] == (
        "It took 1K encoder passes and 50 s of training; plain was not trained."
    )


def test_a_test_set_in_the_graph_is_said(report):
    found = headline(replace(report, test_set="near"))
    assert found.remarks[-1] == "The images of near were not held out of training."


def test_without_baseline_the_last_model_speaks(report):
    found = headline(replace(report, baseline=None, featured=None))
    assert found.sentence == "a <b> & c: recall@1 20.0 ± 10.0 % on far."
    assert found.remarks == ()
