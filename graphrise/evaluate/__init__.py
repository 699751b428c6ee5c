"""How good an embedding is: kNN, recall, triplets, and the report that shows them."""

from graphrise.evaluate.knn import AtK as AtK
from graphrise.evaluate.knn import knn_classify as knn_classify
from graphrise.evaluate.knn import recall_at_k as recall_at_k
from graphrise.evaluate.knn import top_k_accuracy as top_k_accuracy
from graphrise.evaluate.triplets import MarginCurve as MarginCurve
from graphrise.evaluate.triplets import NoTriplets as NoTriplets
from graphrise.evaluate.triplets import Triplets as Triplets
from graphrise.evaluate.triplets import build_triplets as build_triplets
from graphrise.evaluate.triplets import recall_vs_margin as recall_vs_margin
from graphrise.evaluate.triplets import triplet_accuracy as triplet_accuracy
from graphrise.evaluate.triplets import triplet_distances as triplet_distances
