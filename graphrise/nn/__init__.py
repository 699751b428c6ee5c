"""Encoder, label head and edge term: plain modules that know nothing of the training loop."""

from graphrise.nn.encoder import Encoder as Encoder
from graphrise.nn.heads import FullSoftmax as FullSoftmax
from graphrise.nn.regularizer import EdgeRegularizer as EdgeRegularizer
