"""The built-in studies: what each of them varies reaches what is trained, and nothing else does."""

import itertools

import pyarrow.parquet as pq
import pytest

from graphrise.graph.store import open_graph
from graphrise.study.data import EmojiData
from graphrise.study.plan import References, plan, references_of
from graphrise.study.spec import builtin_studies, read_spec
from graphrise.train.data import TrainingData


@pytest.fixture(scope="module")
def runs_of():
    """Runs of a built-in study with its first seed, by name."""

    def planned(name):
        runs = plan(read_spec(builtin_studies()[name]))
        return {run.name: run for run in runs if run.seed == 0}

    return planned


def emoji_of(run):
    assert isinstance(run.source.settings, EmojiData)
    return run.source.settings


@pytest.mark.parametrize("name", builtin_studies())
def test_a_control_differs_from_its_run_by_the_shuffle_alone(runs_of, name):
    runs = runs_of(name)
    controls = [control for control in runs if ", shuffled " in control]
    assert controls
    for control in controls:
        run = runs[control.rpartition(", shuffled ")[0]]
        axes = dict(runs[control].axes)
        shuffled = {axes.pop(key, None) for key in ("shuffle_graph", "shuffle_edges")}
        assert 0 in shuffled
        assert axes == run.axes
        assert runs[control].source == run.source


@pytest.mark.parametrize("name", builtin_studies())
def test_no_two_runs_are_one(runs_of, name):
    keys = [run.key for run in runs_of(name).values()]
    assert len(set(keys)) == len(keys)


def test_heads_of_given_and_of_spread_labels(runs_of):
    runs = runs_of("heads")
    assert len({run.source for run in runs.values()}) == 1
    seen = set()
    for run in runs.values():
        head, labels = run.config.head, run.config.labels
        sampled = head.sampled(1_396)
        what = (head.kind, head.negatives, head.num_negatives) if sampled else ("full",)
        seen.add((labels.spread, run.config.shuffle_graph is not None, *what))
    drawn = [
        *(("sampled", n, c) for n in ("log_uniform", "uniform", "mixed") for c in (512, 64)),
        *(("partial_fc", "log_uniform", c) for c in (512, 64)),
        ("full",),
    ]
    ways = [(False, False), (True, False), (True, True)]
    assert seen == {(*way, *what) for way, what in itertools.product(ways, drawn)}
    assert len(runs) == len(seen)


def test_each_noise_has_a_log_and_a_graph_of_its_own(runs_of, tmp_path):
    runs = runs_of("noise")
    base = runs["cross-entropy"]
    spread = [
        run
        for name, run in runs.items()
        if name.startswith("spread") and run.config.shuffle_graph is None
    ]
    simulators = [emoji_of(run).simulator for run in spread]
    assert base.source == runs["spread"].source
    assert len(set(simulators)) == len({run.source for run in spread}) == len(spread) == 8
    for folder in ("dataset", "graph_folder"):
        places = {getattr(run.source, folder)(tmp_path) for run in runs.values()}
        assert len(places) == 8
    assert {s.click_other for s in simulators} == {0, 0.03, 0.1, 0.3, 0.6}
    assert {s.intruders * s.click_intruder for s in simulators} == {0, 0.005, 0.3, 1}
    assert [s.drop_unique_keywords for s in simulators].count(False) == 1
    wrong = [run for run in runs.values() if run.config.shuffle_share < 1]
    assert [run.config.shuffle_share for run in wrong] == [0.1, 0.3, 0.5]
    for run in wrong:
        assert run.config.shuffle_graph == 0
        assert run.source == runs["spread"].source
    # The pictures and their labels are the same.
    assert {(emoji_of(r).labelled, emoji_of(r).labelled_share) for r in spread} == {(("apple",), 1)}


def test_labels_to_learn_of_the_paper(runs_of):
    runs = runs_of("paper")
    assert len({run.source for run in runs.values()}) == 1
    assert not emoji_of(runs["few labels"]).simulator.drop_unique_keywords
    few, many = runs["few labels"].config, runs["many labels"].config
    assert (few.labels.source, few.head.sampled(1_396)) == ("given", False)
    assert (many.labels.source, many.head.sampled(4_687)) == ("queries", True)
    assert many.head.num_negatives == round(4_687 / 10)
    for name, run in runs.items():
        edges = run.config.edges
        assert edges.alpha == ("graph" in name)
        assert (edges.sampler, edges.embeddings) == ("pairs", "encoder")
        assert not run.config.labels.spread


def test_shares_and_sources_of_labels(runs_of):
    runs = runs_of("labels")
    settings = {name: emoji_of(run) for name, run in runs.items()}
    shares = {"": 1, "1/2 labelled": 0.5, "1/4 labelled": 0.25, "1/8 labelled": 0.125}
    for name, share in shares.items():
        spread = f"{name}, spread" if name else "spread"
        for run in (name or "cross-entropy", spread, f"{spread}, shuffled graph"):
            assert (settings[run].labelled_share, settings[run].labelled) == (share, ("apple",))
    for run in ("all labelled", "all labelled, spread", "all labelled, spread, shuffled graph"):
        assert settings[run].labelled == ("apple", "google", "twitter")
    graphs = {n: runs[n].source.graph for n in ("queries", "queries, idf-weighted", "both")}
    assert [g and g.queries.weighting for g in graphs.values()] == ["share", "idf", "share"]
    sources = {n: runs[n].config.labels.source for n in graphs}
    assert list(sources.values()) == ["queries", "queries", "both"]
    # The gap is that from one vendor's labels to all vendors'.
    references = references_of(read_spec(builtin_studies()["labels"]))
    assert references == References("cross-entropy", "all labelled")
    # The log is one: labels change, clicks do not.
    assert len({s.simulator for s in settings.values()}) == 1


def test_settings_of_the_simulator_reach_the_log(spec, tmp_path):
    runs = plan(
        spec(
            data="digits",
            set={"data.simulator.sessions": 60, "data.simulator.intruders": 1},
            axes={"data.simulator.click_intruder": [0, 1], "train.lr": [0.001, 0.002]},
            baseline=None, seeds=1, validation=None, test=None,
        )
    )  # fmt: skip
    assert len(runs) == 4
    sources = list(dict.fromkeys(run.source for run in runs))
    assert len(sources) == 2
    clicks = []
    for source in sources:
        source.make(tmp_path)
        log = pq.read_table(source.dataset(tmp_path) / "impressions.parquet")
        clicks.append(sum(log.column("clicked").to_pylist()))
    assert clicks[1] > clicks[0] + 20
    for folder in ("data", "graphs"):
        assert len([p for p in (tmp_path / folder).iterdir() if p.is_dir()]) == 2


def test_labels_of_both_sources_are_trained_on(spec, tmp_path):
    axes = {"labels.source": ["given", "queries", "both"]}
    found = {}
    for run in plan(spec(axes=axes, baseline=None, seeds=1)):
        run.source.make(tmp_path)
        graph = open_graph(run.source.graph_folder(tmp_path))
        data = TrainingData(run.source.dataset(tmp_path), graph, run.config)
        found[run.config.labels.source] = (data.num_labels, data.num_labelled)
    assert found["both"][0] == found["given"][0] + found["queries"][0]
    assert found["both"][1] >= max(found["given"][1], found["queries"][1])


def test_spreading_labels_is_timed(spec, tmp_path):
    seconds = {}
    for run in plan(spec(seeds=1)):
        run.source.make(tmp_path)
        graph = open_graph(run.source.graph_folder(tmp_path))
        data = TrainingData(run.source.dataset(tmp_path), graph, run.config)
        seconds[run.config.labels.spread] = data.spread_seconds
    assert seconds[False] == 0
    assert seconds[True] > 0
