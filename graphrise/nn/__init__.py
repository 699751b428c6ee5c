"""Encoder, label head and edge term: plain modules that know nothing of the training loop."""

from graphrise.nn.adversarial import fgsm as fgsm
from graphrise.nn.adversarial import vat as vat
from graphrise.nn.clip import clip_grad_norm_ as clip_grad_norm_
from graphrise.nn.encoder import Encoder as Encoder
from graphrise.nn.heads import FullSoftmax as FullSoftmax
from graphrise.nn.heads import LabelTable as LabelTable
from graphrise.nn.heads import PartialFC as PartialFC
from graphrise.nn.heads import SampledSoftmax as SampledSoftmax
from graphrise.nn.heads import ShardedSoftmax as ShardedSoftmax
from graphrise.nn.mlp import MLP as MLP
from graphrise.nn.regularizer import EdgeRegularizer as EdgeRegularizer
from graphrise.nn.regularizer import edge_gate as edge_gate
from graphrise.nn.rowwise import RowwiseAdagrad as RowwiseAdagrad
from graphrise.nn.rowwise import RowwiseRMSprop as RowwiseRMSprop
from graphrise.nn.rowwise import RowwiseSGD as RowwiseSGD
from graphrise.nn.rowwise import Together as Together
