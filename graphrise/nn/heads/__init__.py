"""Label heads: embedding and ragged soft labels in, loss out; logits on demand."""

from graphrise.nn.heads.full import FullSoftmax as FullSoftmax
from graphrise.nn.heads.growth import grow as grow
from graphrise.nn.heads.growth import rebuild as rebuild
from graphrise.nn.heads.logits import LogitRule as LogitRule
from graphrise.nn.heads.negatives import InBatch as InBatch
from graphrise.nn.heads.negatives import LogUniform as LogUniform
from graphrise.nn.heads.negatives import Mixed as Mixed
from graphrise.nn.heads.negatives import Uniform as Uniform
from graphrise.nn.heads.sampled import PartialFC as PartialFC
from graphrise.nn.heads.sampled import SampledSoftmax as SampledSoftmax
from graphrise.nn.heads.sharded import ShardedSoftmax as ShardedSoftmax
from graphrise.nn.heads.sharded import ignore_tables as ignore_tables
from graphrise.nn.heads.sharded import shard_bounds as shard_bounds
from graphrise.nn.heads.table import LabelTable as LabelTable
from graphrise.nn.heads.table_files import load_table as load_table
from graphrise.nn.heads.table_files import refill_table as refill_table
from graphrise.nn.heads.table_files import save_table as save_table
from graphrise.nn.heads.table_maps import mapped_copy as mapped_copy
from graphrise.nn.heads.table_maps import mapped_table as mapped_table
from graphrise.nn.heads.table_maps import open_table as open_table
from graphrise.nn.heads.views import Views as Views

LabelHead = FullSoftmax | SampledSoftmax | ShardedSoftmax
