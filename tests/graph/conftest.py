"""The graph builder's rules once more, in plain slow Python."""

import math
from collections import Counter, defaultdict

import numpy as np
import pytest

from graphrise.graph.build import build_graph

COLUMNS = {
    "impressions": ("session", "query", "image_id", "clicked"),
    "clicks": ("query", "image_id", "clicks", "impressions"),
    "similar_clicks": ("image_id", "similar_image_id", "clicks", "impressions"),
    "edges": ("source", "target", "weight", "kind"),
}


def as_rows(table, entries):
    """Tuples as dicts of the columns of `table`, without the last columns if these are left off."""
    return [dict(zip(COLUMNS[table], entry, strict=False)) for entry in entries]


class Plain:
    """What the SQL must find, from log rows (dicts) whose images are all nodes.

    `clicks` are rows of that table: more clicks, in no result list.
    """

    def __init__(self, rows, config, clicks=()):
        self.rows, self.config = rows, config
        self.clicked = Counter()
        for row in rows:
            if row["clicked"]:
                self.clicked[row["query"], row["image_id"]] += int(row["clicked"])
        for row in clicks:
            if row["clicks"]:
                self.clicked[row["query"], row["image_id"]] += int(row["clicks"])
        self.images_of = defaultdict(list)
        for (query, image), clicks in sorted(self.clicked.items()):
            self.images_of[query].append((-clicks, image))
        self.kept = {
            (query, image)
            for query, images in self.images_of.items()
            for _, image in sorted(images)[: config.coclick.images_per_query]
        }
        total = len({image for _, image in self.clicked})
        self.idf = {q: math.log(1 + total / len(images)) for q, images in self.images_of.items()}

    def cut(self):
        return len(self.clicked) - len(self.kept)

    def weights(self):
        """{(u, v): weight} for u < v, before top_k."""
        rule = self.config.coclick.weighting
        if rule == "idf_cosine":
            return self._cosine()
        if rule in ("jaccard", "shared_queries"):
            return self._shared(rule)
        return self._lists(rule)

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
                if u < v and len(shared) >= self.config.coclick.support:
                    found[u, v] = min(1.0, sum(shared) / norm[u] / norm[v])
        return found

    def _shared(self, rule):
        queries = defaultdict(set)
        for query, image in self.clicked:
            queries[image].add(query)
        found = {}
        for u in queries:
            for v in queries:
                both = {
                    q
                    for q in queries[u] & queries[v]
                    if (q, u) in self.kept and (q, v) in self.kept
                }
                if u < v and len(both) >= self.config.coclick.support:
                    either = len(queries[u]) + len(queries[v]) - len(both)
                    found[u, v] = len(both) if rule == "shared_queries" else len(both) / either
        return found

    def _lists(self, rule):
        """Over result lists no longer than the cap."""
        lists = defaultdict(dict)
        for row in self.rows:
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
            pair: count if rule == "coclick_count" else count / both_shown[pair]
            for pair, count in both_clicked.items()
            if count >= self.config.coclick.support
        }

    def query_labels(self):
        """{image: {query: share}}."""
        rules, found = self.config.queries, defaultdict(dict)
        total = Counter()
        for (query, _), clicks in self.clicked.items():
            total[query] += clicks
        for (query, image), clicks in self.clicked.items():
            if clicks >= rules.min_pair_clicks and total[query] >= rules.min_clicks:
                found[image][query] = clicks * (self.idf[query] if rules.weighting == "idf" else 1)
        order = sorted(total, key=lambda q: (-total[q], q))
        for image, shares in found.items():
            best = sorted(shares, key=lambda q: (-shares[q], order.index(q)))
            found[image] = {q: shares[q] for q in best[: rules.per_image]}
        return {
            image: {q: w / sum(shares.values()) for q, w in shares.items()}
            for image, shares in found.items()
        }


@pytest.fixture(scope="session")
def plain():
    return Plain


class PlainPairs:
    """The rules of every kind of edge, over {(u, v): weight} with u before v among the nodes."""

    def __init__(self, nodes):
        self.place = {image: n for n, image in enumerate(nodes)}

    def pair(self, u, v):
        return (u, v) if self.place[u] < self.place[v] else (v, u)

    def symmetric(self, directed, rule):
        """One weight of the two directions'; self pairs and images that are no node left out."""
        both = defaultdict(list)
        for (u, v), weight in directed.items():
            if u != v and u in self.place and v in self.place:
                both[self.pair(u, v)].append(weight)
        fold = {"max": max, "sum": sum, "mean": lambda weights: sum(weights) / 2}[rule]
        return {pair: fold(weights) for pair, weights in both.items()}

    def best(self, pairs, config):
        """Those of at least `min_weight` that either end has among its `top_k`."""
        found = {pair: float(np.float32(w)) for pair, w in pairs.items()}
        found = {p: w for p, w in found.items() if w > 0 and w >= np.float32(config.min_weight)}
        ends = defaultdict(list)
        for (u, v), weight in found.items():
            ends[u].append((-weight, self.place[v], (u, v)))
            ends[v].append((-weight, self.place[u], (u, v)))
        kept = {pair for end in ends.values() for *_, pair in sorted(end)[: config.top_k]}
        return {pair: found[pair] for pair in kept}

    def similar(self, rows, config):
        """Of rows of similar_clicks."""
        clicks, shown = Counter(), Counter()
        for row in rows:
            pair = row["image_id"], row["similar_image_id"]
            clicks[pair] += row["clicks"]
            shown[pair] += row.get("impressions", 0)
        rate = config.weighting == "rate"
        directed = {p: n / shown[p] if rate else float(n) for p, n in clicks.items() if n}
        total = self.symmetric({p: n for p, n in clicks.items() if n}, "sum")
        pairs = self.symmetric(directed, config.symmetric)
        return self.best({p: w for p, w in pairs.items() if total[p] >= config.support}, config)

    def given(self, rows, config):
        """Of rows of edges, {kind: pairs} in order of names."""
        directed = defaultdict(dict)
        for row in rows:
            kind, pair = row.get("kind") or "given", (row["source"], row["target"])
            directed[kind][pair] = max(row["weight"], directed[kind].get(pair, 0))
        return {
            kind: self.best(self.symmetric(directed[kind], config.symmetric), config)
            for kind in sorted(directed)
        }

    @staticmethod
    def merged(kinds):
        """{pair: (weight, bits)} of (bit, scale, pairs) for every kind, in the order built."""
        weight, bits = defaultdict(float), defaultdict(int)
        for bit, scale, pairs in kinds:
            for pair, w in pairs.items():
                weight[pair] += w * scale
                bits[pair] |= bit
        return {pair: (float(np.float32(w)), bits[pair]) for pair, w in weight.items()}


@pytest.fixture(scope="session")
def plain_pairs():
    return PlainPairs


class Read:
    """A built graph as plain dicts of image ids."""

    @staticmethod
    def pairs(graph):
        """{(u, v): (weight, bits)} for u before v; both directions checked, and their order."""
        found, ids = {}, graph.image_ids
        for u in range(graph.num_nodes):
            row = slice(graph.rowptr[u], graph.rowptr[u + 1])
            assert (np.diff(graph.col[row]) > 0).all(), "a row does not rise, or an edge is twice"
            assert u not in graph.col[row], "an edge of a node with itself"
            for v, weight, kind in zip(
                graph.col[row], graph.weight[row], graph.kind[row], strict=True
            ):
                found[u, int(v)] = float(weight), int(kind)
        assert all(found.get((v, u)) == of for (u, v), of in found.items()), "not symmetric"
        return {(ids[u], ids[v]): of for (u, v), of in found.items() if u < v}

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


@pytest.fixture(scope="session")
def tabled(make, tmp_path_factory):
    """Dataset folder of images (those `held` are of split test) and tables given as tuples."""

    def write(images, held=(), **tables):
        rows = [
            {"image_id": i, "split": "test" if i in held else "train", "image": b"not read here"}
            for i in images
        ]
        tables = {name: as_rows(name, entries) for name, entries in tables.items()}
        return make.save_tables(tmp_path_factory.mktemp("d"), rows, **tables)

    return write


@pytest.fixture(scope="session")
def of_columns():
    return as_rows


@pytest.fixture(scope="session")
def build():
    """Builds a dataset's graph inside its folder, replacing an earlier one."""

    def build(folder, config):
        return build_graph(folder, folder / "graph", config, overwrite=True)

    return build
