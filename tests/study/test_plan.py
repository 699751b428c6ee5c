"""From spec to runs: names, keys, seeds, data and graphs."""

import dataclasses
from pathlib import Path

import pytest

from graphrise.config import GraphConfig
from graphrise.errors import ConfigError, DataError
from graphrise.graph.build import build_graph
from graphrise.study.data import DigitsData
from graphrise.study.listing import listing
from graphrise.study.plan import References, plan, references_of, shown
from graphrise.study.spec import read_spec


def test_a_grid_is_every_combination(spec):
    axes = {"labels.spread": [False, True], "edges.alpha": [0, 0.5, 1]}
    runs = plan(spec(axes=axes, baseline=None))
    assert len(runs) == 12
    assert [r.seed for r in runs] == [0] * 6 + [1] * 6
    assert len({r.key for r in runs}) == len({r.slug for r in runs}) == 12
    by_name = {r.name: r for r in runs if r.seed == 1}
    one = by_name["spread=true, alpha=0.5"]
    assert (one.config.labels.spread, one.config.edges.alpha) == (True, 0.5)
    assert one.config.train.seed == 1
    assert one.axes == {"labels.spread": True, "edges.alpha": 0.5}
    assert one.slug == "spread=true-alpha=0.5-seed1"
    assert (one.validation, one.test) == ("split=val", "split=query")
    assert one.config.evaluate.queries == ("split=val", "split=query")


def test_axes_of_one_last_name_keep_their_whole_names(spec):
    (run,) = plan(spec(axes={"edges.normalize": [True], "encoder.normalize": [True]}, seeds=1,
                       baseline=None))  # fmt: skip
    assert run.name == "edges.normalize=true, encoder.normalize=true"


def test_keys_follow_from_what_decides_the_result(spec, values):
    base = plan(spec())[0]
    assert plan(spec())[0].key == base.key
    # When checkpoints are written decides nothing, nor the other runs.
    changed = {**values()["set"], "checkpoint.steps": 7}
    assert plan(spec(set=changed))[0].key == base.key
    assert plan(spec(seeds=[0, 5]))[0].key == base.key
    for name, value in {"train.lr": 0.1, "graph.coclick.top_k": 2, "evaluate.k": 1}.items():
        assert plan(spec(set={**values()["set"], name: value}))[0].key != base.key
    assert plan(spec(seeds=[1]))[0].key != base.key
    assert plan(spec(test="split=val", validation="split=query"))[0].key != base.key


def test_the_key_follows_from_the_tables_and_not_from_their_place(spec, colours, make):
    base = plan(spec())[0].key
    moved = colours.rename(colours.with_name("moved"))
    assert plan(spec(data=str(moved)))[0].key == base
    make.save_tables(moved, make.coloured_rows()[:-1])
    assert plan(spec(data=str(moved)))[0].key != base


def test_a_shuffled_graph_is_shuffled_by_the_seed(spec):
    runs = plan(spec(axes={"shuffle_edges": [None, 0]}, baseline=None, seeds=[3]))
    assert [r.config.shuffle_edges for r in runs] == [None, 3]


def test_a_graph_wrong_in_part_is_another_run_and_one_wrong_in_whole_the_one_it_was(spec):
    axes = {"shuffle_graph": [0], "shuffle_share": [0.2, 1.0]}
    part, whole = plan(spec(axes=axes, baseline=None, seeds=[3]))
    before = plan(spec(axes={"shuffle_graph": [0]}, baseline=None, seeds=[3]))[0]
    assert (part.config.shuffle_graph, part.config.shuffle_share) == (3, 0.2)
    assert whole.key == before.key != part.key


def test_graphs_are_shared_by_runs_of_the_same_settings(spec, tmp_path):
    runs = plan(spec(axes={"graph.coclick.top_k": [2, 8]}, baseline=None))
    folders = [r.source.graph_folder(tmp_path) for r in runs]
    assert folders[0] == folders[2] != folders[1] == folders[3]
    source = runs[0].source
    assert not source.ready(tmp_path)
    source.make(tmp_path)
    assert source.ready(tmp_path)
    assert (source.build_seconds(tmp_path) or 0) > 0
    assert runs[1].source.build_seconds(tmp_path) is None
    graph = folders[0] / "graph.json"
    before, seconds = graph.stat().st_mtime_ns, source.build_seconds(tmp_path)
    source.make(tmp_path)
    assert source.build_seconds(tmp_path) == seconds
    assert graph.stat().st_mtime_ns == before


def test_the_graph_of_the_dataset_is_used_where_no_setting_asks_for_another(spec, colours):
    build_graph(colours, colours / "graph", GraphConfig(splits=("train",)))
    run = plan(spec())[0]
    assert run.source.graph is None
    assert run.source.graph_folder(colours.parent / "out") == colours / "graph"
    other = plan(spec(axes={"graph.coclick.top_k": [2]}, baseline=None))[0]
    assert other.source.graph is not None


def test_data_settings_of_the_digits(spec):
    runs = plan(
        spec(data="digits", axes={"data.labelled": [10, 20], "data.simulator.click_other": [0.2]},
             baseline=None, seeds=1, validation=None, test=None, set=None)
    )  # fmt: skip
    settings = [r.source.settings for r in runs]
    assert all(isinstance(s, DigitsData) for s in settings)
    assert [s and s.labelled for s in settings] == [10, 20]
    # What is not named stays as the digits have it.
    simulators = [s.simulator for s in settings if s is not None]
    assert {(s.sessions, s.click_other) for s in simulators} == {(4000, 0.2)}
    assert (runs[0].validation, runs[0].test) == ("split=val", "split=test")
    assert "2 trainings, about 12,000 encoder passes; 2 graphs" in listing(runs)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"axes": {"edges.alhpa": [1]}}, "run 'alhpa=1': no setting edges.alhpa"),
        ({"axes": {"edges.alpha": [0, -1]}}, "run 'alpha=-1': edges.alpha must not be below 0"),
        ({"axes": {"graph.coclick.weigting": ["jaccard"]}}, "no setting graph.coclick.weigting"),
        ({"axes": {"data.labelled": [3]}}, "data.labelled is a setting of emoji and digits"),
        ({"baseline": "nobody"}, "baseline 'nobody' is no run; there are spread=false"),
        ({"baseline": {}}, "is spread=false, spread=true"),
        ({"baseline": "spread=false", "upper": "nobody"}, "upper 'nobody' is no run; there are"),
        ({"baseline": "spread=false", "upper": "spread=false"}, "are both 'spread=false'"),
        ({"axes": {"evaluate.queries": [["split=query"], ["split=val"]]},
          "validation": None, "test": None}, "different query sets"),
        ({"axes": None, "runs": [{"name": "a b"}, {"name": "a-b"}]}, "are one as file names"),
    ],
)  # fmt: skip
def test_errors_before_anything_runs(spec, changed, message):
    given = {"baseline": None, **changed}
    with pytest.raises(ConfigError) as error:
        plan(spec(**given))
    assert message in str(error.value)


def test_no_such_folder(spec, tmp_path):
    with pytest.raises(DataError, match="no such dataset folder"):
        plan(spec(data=str(tmp_path / "nowhere")))


def test_references_by_values_and_by_name(spec):
    above = {"labels.spread": True}
    assert references_of(spec()) == References("spread=false")
    assert references_of(spec(baseline="spread=true")) == References("spread=true")
    assert references_of(spec(baseline=None)) == References()
    for upper in (above, "spread=true"):
        assert references_of(spec(upper=upper)) == References("spread=false", "spread=true")


def test_references_decide_no_key(spec):
    keys = {tuple(run.key for run in plan(given)) for given in (
        spec(), spec(baseline=None), spec(upper="spread=true")
    )}  # fmt: skip
    assert len(keys) == 1


def test_studies_of_earlier_versions_go_on():
    """A setting that is new belongs in `plan._LATER`; what a run does is not to change."""
    runs = {(run.name, run.seed): run for run in plan(read_spec(Path("spread")))}
    assert runs["spread", 0].key == "de2887befe6b6436"
    assert runs["cross-entropy", 2].key == "45ce7a01b08f4049"


def test_a_younger_setting_counts_once_it_is_set(spec):
    axes = {"evaluate.clustering": [False, True]}
    off, on = plan(spec(axes=axes, baseline=None, seeds=1))
    assert off.key == plan(spec(axes={"train.lr": [off.config.train.lr]}, baseline=None))[0].key
    assert on.key != off.key


def test_the_row_wise_update_counts_where_labels_are_sampled(spec, values):
    def keys(kind):
        given = {**values()["set"], "head.kind": kind}
        rows = {"head.optimizer": "adagrad", "head.lr": 0.8, "head.weight_decay": 0.0}
        both = (plan(spec(set={**given, **more}, seeds=1)) for more in ({}, rows))
        return {runs[0].key for runs in both}

    assert len(keys("full")) == 1
    assert len(keys("sampled")) == 2


def test_values_as_text():
    assert [shown(v) for v in (None, True, 0.5, 3, (2, 1), ())] == [
        "none", "true", "0.5", "3", "2+1", "none",
    ]  # fmt: skip


def test_epochs_are_listed_as_such(spec, values):
    epochs = {**values()["set"], "train.epochs": 2, "train.passes": None}
    text = listing(plan(spec(set=epochs)))
    assert "2 x 2 epochs" in text
    assert "and what the epochs take" in text


def test_runs_are_plain_values(spec):
    import pickle

    run = plan(spec())[0]
    assert pickle.loads(pickle.dumps(run)) == run
    assert dataclasses.replace(run) == run
