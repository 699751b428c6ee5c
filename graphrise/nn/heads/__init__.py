"""Label heads: embedding and ragged soft labels in, loss out; logits on demand."""

from graphrise.nn.heads.full import FullSoftmax as FullSoftmax
from graphrise.nn.heads.logits import LogitRule as LogitRule
from graphrise.nn.heads.negatives import InBatch as InBatch
from graphrise.nn.heads.negatives import LogUniform as LogUniform
from graphrise.nn.heads.negatives import Mixed as Mixed
from graphrise.nn.heads.negatives import Uniform as Uniform
from graphrise.nn.heads.sampled import PartialFC as PartialFC
from graphrise.nn.heads.sampled import SampledSoftmax as SampledSoftmax
from graphrise.nn.heads.table import LabelTable as LabelTable
