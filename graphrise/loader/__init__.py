"""From node ids to training batches: images, neighbours, labels, augmentation."""

from graphrise.loader.augment import Augment as Augment
from graphrise.loader.batch import TrainingLoader as TrainingLoader
from graphrise.loader.batch import neighbor_loader as neighbor_loader
from graphrise.loader.nodes import image_rows as image_rows
from graphrise.loader.plan import BatchPlan as BatchPlan
from graphrise.loader.sampler import PairSampler as PairSampler
from graphrise.loader.subgraph import SubgraphSampler as SubgraphSampler
