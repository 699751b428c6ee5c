"""Frozen dataclasses, one per stage. A leaf: it imports nothing of ours but the errors."""

from graphrise.config.adversarial import AdversarialConfig as AdversarialConfig
from graphrise.config.base import from_dict as from_dict
from graphrise.config.base import to_dict as to_dict
from graphrise.config.checkpoint import CheckpointConfig as CheckpointConfig
from graphrise.config.edges import BankConfig as BankConfig
from graphrise.config.edges import EdgeConfig as EdgeConfig
from graphrise.config.encoder import EncoderConfig as EncoderConfig
from graphrise.config.evaluate import EvaluateConfig as EvaluateConfig
from graphrise.config.graph import CoclickConfig as CoclickConfig
from graphrise.config.graph import EngineConfig as EngineConfig
from graphrise.config.graph import GivenConfig as GivenConfig
from graphrise.config.graph import GraphConfig as GraphConfig
from graphrise.config.graph import KnnConfig as KnnConfig
from graphrise.config.graph import QueryConfig as QueryConfig
from graphrise.config.graph import SimilarConfig as SimilarConfig
from graphrise.config.head import HeadConfig as HeadConfig
from graphrise.config.images import ImageConfig as ImageConfig
from graphrise.config.labels import LabelConfig as LabelConfig
from graphrise.config.run import RunConfig as RunConfig
from graphrise.config.train import TrainConfig as TrainConfig
from graphrise.config.triplets import HeldOutConfig as HeldOutConfig
from graphrise.config.watch import WatchConfig as WatchConfig
