"""Settings: what is out of range, and dicts there and back."""

import dataclasses

import pytest
import yaml

from graphrise import config as cfg
from graphrise.errors import ConfigError
from graphrise.recipes import RECIPES


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        (cfg.EdgeConfig, {"alpha": -0.5}, r"edges\.alpha.*-0\.5.*use 0"),
        (cfg.EdgeConfig, {"alpha": float("nan")}, r"edges\.alpha"),
        (cfg.EdgeConfig, {"neighbors": 0}, r"edges\.neighbors.*alpha 0"),
        (cfg.EdgeConfig, {"draw": "both"}, r"edges\.draw.*weighted, uniform.*'both'"),
        (cfg.GraphConfig, {"splits": ()}, r"graph\.splits"),
        (cfg.GraphConfig, {"kinds": ("clicks",)}, r"graph\.kinds must be of coclick.*'clicks'"),
        (cfg.GraphConfig, {"kinds": ()}, r"graph\.kinds"),
        (cfg.GraphConfig, {"kinds": ("knn",)}, r"graph\.knn\.embeddings"),
        (cfg.CoclickConfig, {"weighting": "cosine"}, r"graph\.coclick\.weighting.*idf_cosine"),
        (cfg.CoclickConfig, {"images_per_query": 1}, r"graph\.coclick\.images_per_query"),
        (cfg.CoclickConfig, {"support": 0}, r"graph\.coclick\.support"),
        (cfg.CoclickConfig, {"top_k": 0}, r"graph\.coclick\.top_k.*None keeps all"),
        (cfg.CoclickConfig, {"top_k": 10**6}, r"graph\.coclick\.top_k.*None keeps all"),
        (cfg.CoclickConfig, {"scale": 0.0}, r"graph\.coclick\.scale"),
        (cfg.CoclickConfig, {"min_weight": -0.1}, r"graph\.coclick\.min_weight"),
        (cfg.SimilarConfig, {"symmetric": "min"}, r"graph\.similar\.symmetric.*max, mean, sum"),
        (cfg.SimilarConfig, {"support": 0}, r"graph\.similar\.support"),
        (cfg.GivenConfig, {"min_weight": float("nan")}, r"graph\.given\.min_weight"),
        (cfg.KnnConfig, {"top_k": None}, r"graph\.knn\.threshold, or every pair"),
        (cfg.KnnConfig, {"threshold": 1.5}, r"graph\.knn\.threshold.*\[-1, 1\] for cosine"),
        (cfg.KnnConfig, {"threshold": -1.0, "metric": "l2"}, r"graph\.knn\.threshold.*\[0, inf\]"),
        (cfg.KnnConfig, {"recall": 0.0}, r"graph\.knn\.recall"),
        (cfg.QueryConfig, {"min_clicks": 0}, r"graph\.queries\.min_clicks"),
        (cfg.QueryConfig, {"per_image": 0}, r"graph\.queries\.per_image"),
        (cfg.EngineConfig, {"memory_gb": 0.1}, r"graph\.engine\.memory_gb"),
        (cfg.EngineConfig, {"threads": 0}, r"graph\.engine\.threads"),
        (cfg.EngineConfig, {"master": "local"}, r"graph\.engine\.master is for Spark"),
        (cfg.LabelConfig, {"source": "clicks"}, r"labels\.source.*given, queries"),
        (cfg.LabelConfig, {"spread_power": 0}, r"labels\.spread_power"),
        (cfg.LabelConfig, {"spread_top": 0}, r"labels\.spread_top"),
        (cfg.ImageConfig, {"size": 4}, r"images\.size"),
        (cfg.ImageConfig, {"workers": -1}, r"images\.workers"),
        (cfg.ImageConfig, {"cache_mib": -1}, r"images\.cache_mib"),
        (cfg.ImageConfig, {"scale": 1.0}, r"images\.scale"),
        (cfg.ImageConfig, {"shift": -0.1}, r"images\.shift"),
        (cfg.ImageConfig, {"rotate": -1}, r"images\.rotate"),
        (cfg.ImageConfig, {"colour": 1.5}, r"images\.colour"),
        (cfg.ImageConfig, {"grey": 1.1}, r"images\.grey.*1\.1"),
        (cfg.ImageConfig, {"erase": -0.1}, r"images\.erase"),
        (cfg.EncoderConfig, {"dim": 0}, r"encoder\.dim"),
        (cfg.HeadConfig, {"smoothing": 1.0}, r"head\.smoothing"),
        (cfg.HeadConfig, {"scale": 0.0}, r"head\.scale"),
        (cfg.TrainConfig, {"epochs": None, "passes": None}, "an end"),
        (cfg.TrainConfig, {"epochs": 0}, r"train\.epochs"),
        (cfg.TrainConfig, {"passes": 0}, r"train\.passes"),
        (cfg.TrainConfig, {"batch_size": 0}, r"train\.batch_size"),
        (cfg.TrainConfig, {"lr": 0}, r"train\.lr"),
        (cfg.TrainConfig, {"weight_decay": -1}, r"train\.weight_decay"),
        (cfg.TrainConfig, {"warmup": 1.0}, r"train\.warmup"),
        (cfg.TrainConfig, {"precision": "half"}, r"train\.precision.*bf16-mixed"),
        (cfg.TrainConfig, {"threads": 0}, r"train\.threads"),
        (cfg.EvaluateConfig, {"k": 0}, r"evaluate\.k"),
        (cfg.EvaluateConfig, {"triplets_per_query": 0}, r"evaluate\.triplets_per_query"),
        (cfg.EvaluateConfig, {"queries": ()}, r"evaluate\.queries"),
        (cfg.EvaluateConfig, {"gallery": "gallery"}, "'gallery' is not of the form column=value"),
    ],
)
def test_out_of_range_names_the_setting(kind, values, message):
    with pytest.raises(ConfigError, match=message):
        kind(**values)


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_recipes_survive_yaml(name):
    recipe = RECIPES[name]()
    text = yaml.safe_dump(cfg.to_dict(recipe))
    assert cfg.from_dict(cfg.RunConfig, yaml.safe_load(text)) == recipe


def test_lists_in_encoder_arguments_equal_tuples():
    nested = cfg.EncoderConfig(kwargs={"channels": [1, [2, 3]], "block": {"sizes": [4]}})
    assert nested.kwargs == {"channels": (1, (2, 3)), "block": {"sizes": (4,)}}


def test_unknown_names_are_refused_at_any_depth():
    with pytest.raises(ConfigError, match="RunConfig has no setting edge, labelz"):
        cfg.from_dict(cfg.RunConfig, {"labelz": {}, "edge": {}})
    with pytest.raises(ConfigError, match="TrainConfig has no setting learning_rate"):
        cfg.from_dict(cfg.RunConfig, {"train": {"learning_rate": 1.0}})


def test_ranges_hold_after_from_dict():
    with pytest.raises(ConfigError, match=r"edges\.alpha"):
        cfg.from_dict(cfg.RunConfig, {"edges": {"alpha": -1}})


def test_stages_are_frozen_and_documented():
    stage = cfg.TrainConfig()
    with pytest.raises(dataclasses.FrozenInstanceError):
        stage.lr = 1.0  # pyright: ignore
