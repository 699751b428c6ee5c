"""Settings: what is out of range, and dicts there and back."""

import dataclasses
from typing import get_args, get_type_hints

import pytest
import yaml

from graphrise import config as cfg
from graphrise.errors import ConfigError
from graphrise.ops.edge_kinds import Kind
from graphrise.recipes import RECIPES


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        (cfg.EdgeConfig, {"alpha": -0.5}, r"edges\.alpha.*-0\.5.*use 0"),
        (cfg.EdgeConfig, {"alpha": float("nan")}, r"edges\.alpha"),
        (cfg.EdgeConfig, {"neighbors": 0}, r"edges\.neighbors.*alpha 0"),
        (cfg.EdgeConfig, {"draw": "both"}, r"edges\.draw.*weighted, uniform.*'both'"),
        (cfg.EdgeConfig, {"alpha_unlabelled": -1.0}, r"edges\.alpha_unlabelled.*-1\.0.*use 0"),
        (cfg.EdgeConfig, {"alpha_unlabelled": float("inf")}, r"edges\.alpha_unlabelled"),
        (cfg.EdgeConfig, {"unlabelled_ratio": 0.0}, r"edges\.unlabelled_ratio must be above 0"),
        (cfg.EdgeConfig, {"sampler": "triples"}, r"edges\.sampler.*pairs, subgraph.*'triples'"),
        (cfg.EdgeConfig, {"group_size": 0}, r"edges\.group_size"),
        (cfg.EdgeConfig, {"fanouts": (2, 0)}, r"edges\.fanouts must each be at least 1"),
        (cfg.EdgeConfig, {"kinds": ()}, r"edges\.kinds is empty; None is all"),
        (cfg.EdgeConfig, {"embeddings": "table"}, r"edges\.embeddings.*stop_gradient, bank"),
        (cfg.BankConfig, {"dtype": "bfloat16"}, r"edges\.bank\.dtype.*float16, float32"),
        (cfg.BankConfig, {"max_age": 0}, r"edges\.bank\.max_age must be at least 1, or None"),
        (cfg.BankConfig, {"sweep_every": 0}, r"edges\.bank\.sweep_every"),
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
        (cfg.EdgeConfig, {"alpha_labelled": -1.0}, r"edges\.alpha_labelled must not be below 0"),
        (cfg.EdgeConfig, {"label_alpha": float("nan")}, r"edges\.label_alpha"),
        (cfg.EdgeConfig, {"alpha_by_kind": {"knn": -2.0}}, r"edges\.alpha_by_kind of knn.*-2\.0"),
        (cfg.EdgeConfig, {"alpha_start": 1.0}, r"edges\.alpha_start, a share of the budget"),
        (cfg.EdgeConfig, {"alpha_ramp": -0.1}, r"edges\.alpha_ramp, a share of the budget"),
        (cfg.EdgeConfig, {"alpha_start": 0.6, "alpha_ramp": 0.5}, "at most 1 together"),
        (cfg.EdgeConfig, {"gate": -1.0}, r"edges\.gate must not be below 0"),
        (cfg.EdgeConfig, {"distance": "euclid"}, r"edges\.distance.*squared_l2.*'euclid'"),
        (cfg.EdgeConfig, {"of": "logits"}, r"edges\.of.*predictions.*'logits'"),
        (
            cfg.EdgeConfig,
            {"label_alpha": 1.0, "embeddings": "bank"},
            r"edges\.embeddings=bank cannot be trained; set it to encoder",
        ),
        (
            cfg.EdgeConfig,
            {"label_alpha": 1.0, "embeddings": "stop_gradient"},
            r"edges\.embeddings=stop_gradient cannot be trained",
        ),
        (
            cfg.EdgeConfig,
            {"of": "predictions", "embeddings": "bank"},
            r"a bank keeps embeddings; set edges\.embeddings to encoder",
        ),
        (
            cfg.EdgeConfig,
            {"adversarial": cfg.AdversarialConfig(kind="vat", alpha=0.0)},
            r"kind=vat costs passes and counts nothing",
        ),
        (cfg.AdversarialConfig, {"kind": "pgd"}, r"edges\.adversarial\.kind.*fgsm, vat"),
        (cfg.AdversarialConfig, {"alpha": -1.0}, r"edges\.adversarial\.alpha"),
        (cfg.AdversarialConfig, {"size": 0.0}, r"edges\.adversarial\.size.*switches it off"),
        (cfg.AdversarialConfig, {"norm": "l1"}, r"edges\.adversarial\.norm.*infinity"),
        (cfg.AdversarialConfig, {"steps": 0}, r"edges\.adversarial\.steps"),
        (cfg.LabelConfig, {"source": "clicks"}, r"labels\.source.*given, queries"),
        (cfg.LabelConfig, {"spread_power": 0}, r"labels\.spread_power"),
        (cfg.LabelConfig, {"spread_top": 0}, r"labels\.spread_top"),
        (cfg.LabelConfig, {"spread_steps": 0}, r"labels\.spread_steps"),
        (cfg.LabelConfig, {"spread_own": -0.1}, r"labels\.spread_own.*-0\.1"),
        (cfg.LabelConfig, {"spread_own": float("inf")}, r"labels\.spread_own must be finite"),
        (cfg.LabelConfig, {"spread_trust": float("nan")}, r"labels\.spread_trust"),
        (cfg.LabelConfig, {"spread_kinds": ()}, r"labels\.spread_kinds is empty"),
        (cfg.LabelConfig, {"spread": True, "spread_refresh": 0}, r"labels\.spread_refresh must be"),
        (cfg.LabelConfig, {"spread_refresh": 2}, r"needs labels\.spread true"),
        (cfg.LabelConfig, {"spread_from": "bank"}, r"labels\.spread_from.*predictions, embeddings"),
        (cfg.ImageConfig, {"size": 4}, r"images\.size"),
        (cfg.ImageConfig, {"crop_pct": 0.4}, r"images\.crop_pct must lie in \[0\.5, 1\]"),
        (cfg.ImageConfig, {"crop_pct": 1.1}, r"images\.crop_pct"),
        (cfg.ImageConfig, {"workers": -1}, r"images\.workers"),
        (cfg.ImageConfig, {"threads": 0}, r"images\.threads"),
        (cfg.ImageConfig, {"prefetch": -1}, r"images\.prefetch"),
        (cfg.ImageConfig, {"on_bad_image": "drop"}, r"images\.on_bad_image.*raise, skip.*'drop'"),
        (cfg.ImageConfig, {"crop_scale": (0.9, 0.1)}, r"images\.crop_scale"),
        (cfg.ImageConfig, {"crop_scale": (0.0, 0.5)}, r"images\.crop_scale"),
        (cfg.ImageConfig, {"crop_scale": (0.5,)}, r"images\.crop_scale"),
        (cfg.ImageConfig, {"crop_ratio": (2.0, 1.0)}, r"images\.crop_ratio"),
        (cfg.ImageConfig, {"crop_ratio": (0.0, 1.0)}, r"images\.crop_ratio"),
        (cfg.ImageConfig, {"crop_ratio": (1.0, float("inf"))}, r"images\.crop_ratio"),
        (cfg.ImageConfig, {"rand_augment": 5}, r"images\.rand_augment"),
        (cfg.ImageConfig, {"rand_magnitude": 31}, r"images\.rand_magnitude"),
        (cfg.ImageConfig, {"cache_mib": -1}, r"images\.cache_mib"),
        (cfg.ImageConfig, {"scale": 1.0}, r"images\.scale"),
        (cfg.ImageConfig, {"shift": -0.1}, r"images\.shift"),
        (cfg.ImageConfig, {"rotate": -1}, r"images\.rotate"),
        (cfg.ImageConfig, {"colour": 1.5}, r"images\.colour"),
        (cfg.ImageConfig, {"grey": 1.1}, r"images\.grey.*1\.1"),
        (cfg.ImageConfig, {"erase": -0.1}, r"images\.erase"),
        (cfg.EncoderConfig, {"dim": 0}, r"encoder\.dim"),
        (cfg.EncoderConfig, {"lr_factor": 0.0}, r"encoder\.lr_factor"),
        (cfg.EncoderConfig, {"bn": "split"}, r"encoder\.bn must be of shared, apart"),
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
        (cfg.TrainConfig, {"accumulate": 0}, r"train\.accumulate"),
        (cfg.TrainConfig, {"optimizer": "adam"}, r"train\.optimizer must be of adamw, sgd"),
        (cfg.TrainConfig, {"momentum": 1.0}, r"train\.momentum"),
        (cfg.TrainConfig, {"clip": 0.0}, r"train\.clip.*None clips nothing"),
        (cfg.TrainConfig, {"schedule": "linear"}, r"train\.schedule.*one_cycle"),
        (cfg.TrainConfig, {"ema": 1.0}, r"train\.ema.*None keeps no average"),
        (cfg.WatchConfig, {"loggers": ("csv", "comet")}, r"watch\.loggers.*mlflow; got 'comet'"),
        (cfg.WatchConfig, {"loggers": ("csv", "csv")}, r"watch\.loggers names one twice"),
        (cfg.WatchConfig, {"every": 0}, r"watch\.every"),
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


def test_nested_stages_and_tuples_survive_yaml():
    config = cfg.RunConfig(
        edges=cfg.EdgeConfig(
            alpha=0.1,
            sampler="subgraph",
            fanouts=(3, 2),
            kinds=("knn",),
            embeddings="bank",
            bank=cfg.BankConfig(dtype="float32", mapped=True, max_age=7, sweep_every=None),
            alpha_by_kind={"knn": 0.5, "likes": 2.0},
            adversarial=cfg.AdversarialConfig(kind="vat", steps=3),
        ),
        images=cfg.ImageConfig(crop_scale=(0.2, 0.9), crop_ratio=(0.5, 2.0), threads=3),
    )
    found = cfg.from_dict(cfg.RunConfig, yaml.safe_load(yaml.safe_dump(cfg.to_dict(config))))
    assert found == config
    assert isinstance(found.edges.bank, cfg.BankConfig)
    bare = cfg.RunConfig(edges=cfg.EdgeConfig(fanouts=()))
    again = cfg.from_dict(cfg.RunConfig, yaml.safe_load(yaml.safe_dump(cfg.to_dict(bare))))
    assert again.edges.fanouts == ()
    with pytest.raises(ConfigError, match="BankConfig has no setting age"):
        cfg.from_dict(cfg.RunConfig, {"edges": {"bank": {"age": 3}}})


@pytest.mark.parametrize(
    ("edges", "used"),
    [
        ({}, False),
        ({"alpha": 0.1}, True),
        ({"alpha_unlabelled": 0.1}, True),
        ({"alpha_labelled": 0.1}, True),
        ({"alpha_labelled": 0.0}, False),
        ({"alpha": 0.1, "alpha_labelled": 0.0}, True),
        ({"label_alpha": 0.1}, True),
        ({"adversarial": cfg.AdversarialConfig(kind="fgsm")}, False),
    ],
)
def test_edges_are_used_if_one_term_counts(edges, used):
    assert cfg.EdgeConfig(**edges).used == used


@pytest.mark.parametrize(
    ("alpha", "labelled", "weight", "factors"),
    [
        (0.0, None, 0.0, (1, 1)),
        (0.5, None, 0.5, (1, 1)),
        (0.5, 2.0, 0.5, (4, 1)),
        (0.5, 0.0, 0.5, (0, 1)),
        (0.0, 2.0, 2.0, (1, 0)),
        (0.0, 0.0, 0.0, (1, 1)),
    ],
)
def test_weights_of_pairs(alpha, labelled, weight, factors):
    edges = cfg.EdgeConfig(alpha=alpha, alpha_labelled=labelled)
    assert edges.weights["edge"] == weight
    assert edges.pair_factors == factors


def test_distances_are_the_ops():
    assert get_args(get_type_hints(cfg.EdgeConfig)["distance"]) == get_args(Kind)


def test_factors_of_kinds_are_a_copy():
    factors = {"knn": 0.5}
    edges = cfg.EdgeConfig(alpha_by_kind=factors)
    factors["knn"] = 7.0
    assert edges.alpha_by_kind == {"knn": 0.5}


@pytest.mark.parametrize("kind", ["sampled", "partial_fc"])
def test_predictions_need_all_labels(kind):
    head, edges = cfg.HeadConfig(kind=kind), cfg.EdgeConfig(of="predictions")
    with pytest.raises(ConfigError, match=rf"head\.kind={kind} has not; set head\.kind to full"):
        cfg.RunConfig(head=head, edges=edges)


@pytest.mark.parametrize(
    ("size", "share", "canvas"), [(224, 1.0, 224), (224, 0.875, 256), (8, 0.6, 13)]
)
def test_the_canvas_is_what_the_crop_is_taken_of(size, share, canvas):
    assert cfg.ImageConfig(size=size, crop_pct=share).canvas == canvas


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
