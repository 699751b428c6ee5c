"""From node ids to training batches: images, neighbours, labels, augmentation."""

from graphrise.loader.augment import Augment as Augment
from graphrise.loader.batch import neighbor_loader as neighbor_loader
from graphrise.loader.images import ImageReader as ImageReader
from graphrise.loader.sampler import PairSampler as PairSampler
