"""Neural Structured Learning's graph builder on given points; run by an interpreter that has it.

    PYTHON nsl_peer.py POINTS.npy THRESHOLD FOLDER

Writes FOLDER/points.tfrecord and FOLDER/edges.tsv, and prints what it took as JSON. Stands alone:
that interpreter has no graphrise.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np


def main(points: str, threshold: str, folder: str) -> None:
    """Build the graph; only `build_graph` is timed."""
    import neural_structured_learning as nsl  # pyright: ignore[reportMissingImports]
    import tensorflow as tf  # pyright: ignore[reportMissingImports]

    records = str(Path(folder) / "points.tfrecord")
    with tf.io.TFRecordWriter(records) as writer:
        for number, values in enumerate(np.load(points)):
            name = tf.train.Feature(bytes_list=tf.train.BytesList(value=[str(number).encode()]))
            vector = tf.train.Feature(float_list=tf.train.FloatList(value=values.tolist()))
            features = tf.train.Features(feature={"id": name, "embedding": vector})
            writer.write(tf.train.Example(features=features).SerializeToString())
    start = time.perf_counter()
    nsl.tools.build_graph([records], str(Path(folder) / "edges.tsv"), float(threshold))
    seconds = time.perf_counter() - start
    print(json.dumps({"seconds": seconds, "nsl": nsl.__version__, "tensorflow": tf.__version__}))


if __name__ == "__main__":
    main(*sys.argv[1:])
