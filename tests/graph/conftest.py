"""The graph builder's rules once more, in plain slow Python."""

import math
from collections import Counter, defaultdict

import pytest


class Plain:
    """What the SQL must find, from log rows (dicts) whose images are all nodes."""

    def __init__(self, rows, config):
        self.rows, self.config = rows, config
        self.clicked = Counter()
        for row in rows:
            if row["clicked"]:
                self.clicked[row["query"], row["image_id"]] += int(row["clicked"])
        self.images_of = defaultdict(list)
        for (query, image), clicks in sorted(self.clicked.items()):
            self.images_of[query].append((-clicks, image))
        self.kept = {
            (query, image)
            for query, images in self.images_of.items()
            for _, image in sorted(images)[: config.images_per_query]
        }
        total = len({image for _, image in self.clicked})
        self.idf = {q: math.log(1 + total / len(images)) for q, images in self.images_of.items()}

    def cut(self):
        return len(self.clicked) - len(self.kept)

    def weights(self):
        """{(u, v): weight} for u < v, before top_k."""
        if self.config.weighting == "idf_cosine":
            return self._cosine()
        return self._rate()

    def _cosine(self):
        vector = defaultdict(dict)
        for (query, image), clicks in self.clicked.items():
            vector[image][query] = math.log(1 + clicks) * self.idf[query]
        norm = {i: math.sqrt(sum(x * x for x in v.values())) for i, v in vector.items()}
        found = {}
        for u in vector:
            for v in vector:
                shared = [
                    vector[u][q] * vector[v][q]
                    for q in vector[u]
                    if q in vector[v] and (q, u) in self.kept and (q, v) in self.kept
                ]
                if u < v and shared:
                    found[u, v] = min(1.0, sum(shared) / norm[u] / norm[v])
        return found

    def _rate(self):
        lists = defaultdict(dict)
        for row in self.rows:
            if (row["query"], row["image_id"]) in self.kept:
                page = lists[row["session"], row["query"]]
                page[row["image_id"]] = page.get(row["image_id"], False) or bool(row["clicked"])
        both_clicked, both_shown = Counter(), Counter()
        for page in lists.values():
            for u in page:
                for v in page:
                    if u < v:
                        both_shown[u, v] += 1
                        both_clicked[u, v] += page[u] and page[v]
        return {
            pair: count / both_shown[pair]
            for pair, count in both_clicked.items()
            if count >= self.config.min_coclicks
        }

    def query_labels(self):
        """{image: {query: share}}."""
        found = defaultdict(dict)
        for (query, image), clicks in self.clicked.items():
            factor = self.idf[query] if self.config.query_weighting == "idf" else 1
            found[image][query] = clicks * factor
        return {
            image: {q: w / sum(shares.values()) for q, w in shares.items()}
            for image, shares in found.items()
        }


@pytest.fixture(scope="session")
def plain():
    return Plain


class Read:
    """A built graph as plain dicts of image ids."""

    @staticmethod
    def edges(graph):
        ids, found = graph.image_ids, {}
        for u in range(graph.num_nodes):
            for e in range(graph.rowptr[u], graph.rowptr[u + 1]):
                pair = ids[u], ids[graph.col[e]]
                assert pair not in found, "an edge stands twice"
                found[pair] = float(graph.weight[e])
        return found

    @staticmethod
    def labels(graph, source="queries"):
        found, words = {}, graph.vocabulary[source]
        for node, image in enumerate(graph.image_ids):
            _, index, weight = graph.labels[source].rows([node])
            if index.size:
                found[image] = {words[k]: float(w) for k, w in zip(index, weight, strict=True)}
        return found


@pytest.fixture(scope="session")
def read():
    return Read


@pytest.fixture
def logged(make, tmp_path):
    """Dataset folder of images a, b, ... (train unless told) and a log of (session, query,
    image, clicked) tuples."""

    def write(log, images="abcdefgh", splits=None, name="d", labels=None):
        rows = [
            {
                "image_id": i,
                "split": (splits or {}).get(i, "train"),
                "image": b"not read here",
                "label": (labels or {}).get(i),
            }
            for i in images
        ]
        names = ("session", "query", "image_id", "clicked")
        entries = [dict(zip(names, entry, strict=True)) for entry in log]
        return make.save_tables(tmp_path / name, rows, entries)

    return write
