"""Training: parts built from a config, fitted by Lightning, kept in a run folder."""

from graphrise.train.module import GraphRise as GraphRise
from graphrise.train.run import train as train
