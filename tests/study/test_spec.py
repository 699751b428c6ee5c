"""The YAML of a study, and dotted settings: what is read and what is refused."""

import re
from pathlib import Path

import pytest
import yaml

from graphrise.config import GraphConfig, RunConfig
from graphrise.errors import ConfigError
from graphrise.recipes import RECIPES
from graphrise.study.plan import plan, references_of
from graphrise.study.settings import with_settings
from graphrise.study.spec import builtin_studies, read_spec, spec_of


def test_read_from_a_file(yaml_file, colours):
    spec = read_spec(yaml_file(data=colours.name, seeds=[4, 1]))
    assert spec.data == str(colours)
    assert spec.seeds == (4, 1)
    assert spec.start == "catalogue"
    assert spec.axes == {"labels.spread": (False, True)}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"sedes": 3}, "no key sedes; there are name, data"),
        ({"name": "a/b"}, "name must be of letters"),
        ({"axes": None}, "give axes or runs, one of the two"),
        ({"runs": [{"name": "a"}]}, "give axes or runs, one of the two"),
        ({"axes": {"edges.alpha": 1}}, "axes: edges.alpha must be a list"),
        ({"axes": {"edges.alpha": [1, 1.0]}}, "axes: edges.alpha has a value twice"),
        ({"axes": {"edges.alpha": []}}, "axes: edges.alpha has no value"),
        ({"axes": None, "runs": [{"name": "a"}, {"name": "a"}]}, "two of them are named 'a'"),
        ({"axes": None, "runs": [{"nmae": "a"}]}, "number 1: no key nmae"),
        ({"axes": None, "runs": [{"set": {}}]}, "number 1: name is missing"),
        ({"axes": None, "runs": ["a"]}, "number 1 must be a mapping"),
        ({"seeds": 0}, "seeds must be at least 1"),
        ({"seeds": [1, 1]}, "seeds has one twice"),
        ({"seeds": [-1]}, "whole numbers from 0 on"),
        ({"set": {"train.seed": 1}}, "train.seed is what `seeds` sets"),
        ({"recipe": "none"}, "recipe must be of"),
        ({"test": "query"}, "not of the form column=value"),
        ({"baseline": None, "upper": "spread=true"}, "upper needs a baseline"),
    ],
)
def test_errors_name_the_file_and_the_key(yaml_file, changed, message):
    file = yaml_file(**changed)
    with pytest.raises(ConfigError) as error:
        read_spec(file)
    assert str(error.value).startswith(f"{file}: ")
    assert message in str(error.value)


def test_no_such_study(tmp_path):
    with pytest.raises(ConfigError, match=r"no such file, and no such study; there are alpha, "):
        read_spec(tmp_path / "nothing.yaml")
    (tmp_path / "broken.yaml").write_text("name: [", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"broken.yaml: not YAML"):
        read_spec(tmp_path / "broken.yaml")
    (tmp_path / "list.yaml").write_text("- 1", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"list.yaml: a study is a mapping"):
        read_spec(tmp_path / "list.yaml")


def test_every_builtin_study_can_be_planned_and_has_controls():
    assert set(builtin_studies()) >= {
        "alpha", "edges", "heads", "labels", "neighbours", "noise", "paper", "spread",
    }  # fmt: skip
    for name, file in builtin_studies().items():
        spec = read_spec(file)
        assert spec.name == name
        runs = {run.name: run for run in plan(spec) if run.seed == 0}
        base = runs[str(spec.baseline)].config
        assert (base.edges.alpha, base.labels.spread) == (0, False)
        for run in runs.values():
            assert run.config.train.passes == base.train.passes
            assert (run.validation, run.test) == ("vendor=facebook", "vendor=fluent")
            graph_used = run.config.edges.used or run.config.labels.spread
            shuffled = (run.config.shuffle_graph, run.config.shuffle_edges) != (None, None)
            if shuffled:
                # One that is wrong in part is no control, and has that of the run it comes from.
                assert ("shuffled" in run.name) == (run.config.shuffle_share == 1)
                assert graph_used
            elif graph_used:
                assert any(other.startswith(f"{run.name}, shuffled") for other in runs), run.name


def test_the_readmes_study_can_be_planned():
    readme = Path(__file__).parents[2] / "README.md"
    (text,) = re.findall(r"```yaml\n(name: .*?)```", readme.read_text(encoding="utf-8"), re.DOTALL)
    spec = spec_of(yaml.safe_load(text))
    assert len(plan(spec)) == 6 * len(spec.seeds)
    assert references_of(spec).baseline == "alpha=0, spread=false"


def test_settings_are_read_by_their_type():
    found = with_settings(
        RECIPES["emoji"](),
        {
            "edges.alpha": 1,
            "train.lr": "2e-3",
            "train.passes": None,
            "train.epochs": 3,
            "edges.fanouts": [2, 1],
            "edges.kinds": ["coclick"],
            "edges.alpha_by_kind": {"coclick": 2},
            "edges.bank.max_age": 7,
            "shuffle_graph": 0,
        },
    )
    assert (found.edges.alpha, found.train.lr, found.train.epochs) == (1.0, 0.002, 3.0)
    assert isinstance(found.edges.alpha, float)
    assert (found.edges.fanouts, found.edges.kinds) == ((2, 1), ("coclick",))
    assert found.edges.alpha_by_kind == {"coclick": 2.0}
    assert (found.edges.bank.max_age, found.shuffle_graph) == (7, 0)
    # What is not named stays the recipe's.
    assert found.head == RECIPES["emoji"]().head


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"edges.alhpa": 1}, "no setting edges.alhpa; did you mean edges.alpha?"),
        ({"egdes.alpha": 1}, "no setting egdes; did you mean edges?"),
        ({"edges": {"alpha": 1}}, "edges is a stage: name a setting, such as edges.alpha"),
        ({"edges.alpha.x": 1}, "edges.alpha is one setting"),
        ({"edges.alpha": "much"}, "edges.alpha must be float, got 'much'"),
        ({"edges.alpha": None}, "edges.alpha must be float, got None"),
        ({"edges.alpha": True}, "edges.alpha must be float, got True"),
        ({"edges.neighbors": 1.5}, "edges.neighbors must be int"),
        ({"edges.neighbors": True}, "edges.neighbors must be int"),
        ({"labels.spread": 1}, "labels.spread must be bool"),
        ({"edges.kinds": "coclick"}, "edges.kinds must be"),
        ({"edges.alpha": -1}, "edges.alpha must not be below 0"),
        ({"edges.distance": "far"}, "edges.distance must be of"),
    ],
)
def test_wrong_settings(settings, message):
    with pytest.raises(ConfigError, match=r"^") as error:
        with_settings(RunConfig(), settings)
    assert message in str(error.value)


def test_settings_that_need_each_other_are_changed_at_once():
    found = with_settings(
        GraphConfig(), {"kinds": ["coclick", "knn"], "knn.embeddings": "vector"}, "graph."
    )
    assert found.knn.embeddings == "vector"


def test_a_single_number_of_seeds(values):
    assert spec_of(values(seeds=3)).seeds == (0, 1, 2)
