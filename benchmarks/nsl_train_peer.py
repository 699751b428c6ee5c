"""Neural Structured Learning's training on given batches; run by an interpreter that has it.

    PYTHON nsl_train_peer.py FOLDER

FOLDER has `settings.json`, `weights.npz` (named as timm's test_resnet, a projection and a label
table are in torch) and the batches: `images.npy`, `neighbors.npy` (uint8 `[M, H, W, 3]`),
`labels.npy`, `present.npy` (`[M]`; 1 where an image has a neighbour) and `ends.npy` (`[S]`, where
each of S batches ends). To be augmented here: `nodes.npy`, `neighbor_nodes.npy` (`[M]`), rows of
`pictures.npy` (uint8 `[N, H, W, 3]`). Writes `trained.npz`, as the weights were, and prints what it
took as JSON. Stands alone: that interpreter has neither graphrise nor torch.
"""

import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

import neural_structured_learning as nsl  # pyright: ignore[reportMissingImports]
import numpy as np
import tensorflow as tf  # pyright: ignore[reportMissingImports]

keras = tf.keras
layers = keras.layers
WARM = 20
"""Steps that are not timed: functions are traced in the first ones."""


@keras.utils.register_keras_serializable()
class Cosines(layers.Layer):
    """Embeddings of unit length, and cosines with label vectors times a scale."""

    def __init__(self, labels: int, scale: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.labels, self.scale = labels, scale

    def build(self, shape: Any) -> None:
        """Make the label vectors."""
        self.kernel = self.add_weight(name="kernel", shape=(self.labels, shape[-1]))

    def call(self, x: Any) -> Any:
        """Logits `[B, C]` of projections `[B, D]`."""
        z, rows = tf.math.l2_normalize(x, axis=1), tf.math.l2_normalize(self.kernel, axis=1)
        return self.scale * tf.matmul(z, rows, transpose_b=True)


class Network:
    """timm's test_resnet, layer by layer as torch computes it."""

    def __init__(self) -> None:
        self.convs: dict[str, Any] = {}
        self.norms: dict[str, Any] = {}

    def conv(self, x: Any, name: str, width: int, size: int = 3, stride: int = 1) -> Any:
        """A convolution, padded on both sides alike also where its stride is 2."""
        x = layers.ZeroPadding2D(size // 2)(x) if size > 1 else x
        layer = layers.Conv2D(width, size, stride, use_bias=False, name=name)
        self.convs[name] = layer
        return layer(x)

    def norm(self, x: Any, name: str, act: bool = True) -> Any:
        """Batch normalisation with torch's momentum and epsilon."""
        self.norms[name] = layer = layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=name)
        return layers.ReLU()(layer(x)) if act else layer(x)

    def block(self, x: Any, name: str, width: int, stride: int, wide: bool = False) -> Any:
        """A residual block, with a bottleneck of three convolutions if it is wide."""
        out, skip = (4 * width if wide else width), x
        first = (1, 1) if wide else (3, stride)
        y = self.norm(self.conv(x, f"{name}.conv1", width, *first), f"{name}.bn1")
        second = stride if wide else 1
        y = self.conv(y, f"{name}.conv2", width, 3, second)
        y = self.norm(y, f"{name}.bn2", act=wide)
        if wide:
            y = self.norm(self.conv(y, f"{name}.conv3", out, 1), f"{name}.bn3", act=False)
        if stride > 1:
            skip = layers.AveragePooling2D(2, 2, padding="same")(x)
            skip = self.conv(skip, f"{name}.downsample.1", out, 1)
            skip = self.norm(skip, f"{name}.downsample.2", act=False)
        return layers.ReLU()(layers.add([y, skip]))

    def model(self, side: int, dim: int, labels: int, scale: float) -> Any:
        """Images in 0..255 to logits."""
        image = keras.Input((side, side, 3), name="image")
        x = layers.Rescaling(1 / 127.5, offset=-1.0)(image)
        x = self.norm(self.conv(x, "conv1.0", 16, 3, 2), "conv1.1")
        x = self.norm(self.conv(x, "conv1.3", 16), "conv1.4")
        x = self.norm(self.conv(x, "conv1.6", 32), "bn1")
        # After a ReLU zeros at the border do what torch's -inf does.
        x = layers.MaxPooling2D(3, 2)(layers.ZeroPadding2D(1)(x))
        x = self.block(x, "layer1.0", 32, 1)
        x = self.block(x, "layer2.0", 48, 2)
        x = self.block(x, "layer3.0", 48, 2, wide=True)
        x = self.block(x, "layer4.0", 96, 2)
        x = layers.GlobalAveragePooling2D()(x)
        self.projection = layers.Dense(dim, name="projection")
        self.head = Cosines(labels, scale, name="head")
        return keras.Model({"image": image}, self.head(self.projection(x)))

    def put(self, found: Any) -> None:
        """Take torch's weights, by name."""
        for name, layer in self.convs.items():
            layer.set_weights([found[f"backbone.{name}.weight"].transpose(2, 3, 1, 0)])
        for name, layer in self.norms.items():
            parts = ("weight", "bias", "running_mean", "running_var")
            layer.set_weights([found[f"backbone.{name}.{part}"] for part in parts])
        projection = found["projection.weight"].T, found["projection.bias"]
        self.projection.set_weights(projection)
        self.head.set_weights([found["head.weight"]])

    def get(self) -> dict[str, np.ndarray]:
        """Weights named and laid out as torch's."""
        out = {}
        for name, layer in self.convs.items():
            out[f"backbone.{name}.weight"] = layer.get_weights()[0].transpose(3, 2, 0, 1)
        for name, layer in self.norms.items():
            parts = ("weight", "bias", "running_mean", "running_var")
            for part, value in zip(parts, layer.get_weights(), strict=True):
                out[f"backbone.{name}.{part}"] = value
        out["projection.weight"] = self.projection.get_weights()[0].T
        out["projection.bias"] = self.projection.get_weights()[1]
        out["head.weight"] = self.head.get_weights()[0]
        return out


class Clock(keras.callbacks.Callback):
    """Times the steps after the first few."""

    def __init__(self) -> None:
        super().__init__()
        self.start = self.end = 0.0

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """One step more."""
        self.end = time.perf_counter()
        if batch == WARM - 1:
            self.start = self.end


class Rates(keras.optimizers.schedules.LearningRateSchedule):
    """The learning rate of every step, given."""

    def __init__(self, values: list[float]) -> None:
        self.values = tf.constant(values, tf.float32)

    def __call__(self, step: Any) -> Any:
        """That of a step."""
        return self.values[tf.minimum(tf.cast(step, tf.int32), len(self.values) - 1)]


class Augment:
    """Random zoom, turn, shift, mirror and colour, as the run that the batches are of has them."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self.settings, self.side = settings, settings["side"]

    def __call__(self, pictures: Any) -> Any:
        """Augmented pictures `[B, S, S, 3]`, 0 to 255."""
        count = tf.shape(pictures)[0]
        u = tf.random.uniform(tf.stack([count, 9]), -1.0, 1.0)
        moved = tf.raw_ops.ImageProjectiveTransformV3(
            images=tf.cast(pictures, tf.float32),
            transforms=self._moves(u),
            output_shape=[self.side, self.side],
            fill_value=0.0,
            interpolation="BILINEAR",
            fill_mode="NEAREST",
        )
        matrix, contrast = self._colours(self.settings["colour"] * u[:, 5:])
        mean = tf.reduce_mean(moved, axis=(1, 2)) * (1 - contrast[:, None])
        pixels = tf.reshape(moved, (count, -1, 3))
        mixed = tf.matmul(pixels, matrix, transpose_b=True) + mean[:, None]
        return tf.clip_by_value(tf.reshape(mixed, tf.shape(moved)), 0.0, 255.0)

    def _moves(self, u: Any) -> Any:
        """From a place in the outcome to one in the picture, in pixels: `[B, 8]`."""
        by, half = self.settings["moved"], (self.side - 1) / 2
        zoom = tf.exp(u[:, 0] * np.log1p(by["zoom"]))
        angle, shift = u[:, 1] * np.radians(by["degrees"]), u[:, 2:4] * by["shift"] * self.side
        mirror = tf.where(u[:, 4] < 0, -1.0, 1.0) if self.settings["flip"] else 1.0
        cos, sin = tf.cos(angle) / zoom, tf.sin(angle) / zoom
        across, down, none = (cos * mirror, -sin), (sin * mirror, cos), tf.zeros_like(cos)
        x = shift[:, 0] + half * (1 - across[0] - across[1])
        y = shift[:, 1] + half * (1 - down[0] - down[1])
        return tf.stack([*across, x, *down, y, none, none], axis=1)

    def _colours(self, by: Any) -> tuple[Any, Any]:
        """Brightness, contrast, saturation and hue in one matrix `[B, 3, 3]`; and contrast."""
        bright, contrast, saturation = 1 + by[:, 0], 1 + by[:, 1], 1 + by[:, 2]
        luma = tf.broadcast_to(tf.constant([0.299, 0.587, 0.114]), (3, 3))
        mixed = saturation[:, None, None] * (tf.eye(3) - luma) + luma
        turn = by[:, 3, None, None] * np.pi
        cross = tf.constant([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / np.sqrt(3)
        hue = tf.cos(turn) * tf.eye(3) + (1 - tf.cos(turn)) / 3 + tf.sin(turn) * cross
        return (bright * contrast)[:, None, None] * tf.matmul(mixed, hue), contrast


def batches(folder: Path, settings: dict[str, Any], ends: np.ndarray, labels: int) -> Any:
    """The given batches, once each, as NSL wants features named."""
    own = settings["own_input"]
    names = ("nodes", "neighbor_nodes") if own else ("images", "neighbors")
    columns = [np.load(folder / f"{n}.npy", mmap_mode="r") for n in (*names, "present", "labels")]

    def each() -> Any:
        first = 0
        for end in ends.tolist():
            some, first = slice(first, end), end
            yield tuple(column[some] for column in columns)

    signature = tuple(tf.TensorSpec((None, *c.shape[1:]), c.dtype) for c in columns)
    if own:
        pictures, augment = tf.constant(np.load(folder / "pictures.npy")), Augment(settings)

    def named(image: Any, neighbor: Any, weight: Any, label: Any) -> Any:
        if own:
            image, neighbor = (augment(tf.gather(pictures, node)) for node in (image, neighbor))
        features = {
            "image": tf.cast(image, tf.float32),
            "NL_nbr_0_image": tf.cast(neighbor, tf.float32),
            "NL_nbr_0_weight": weight[:, None],
        }
        if settings["multiplier"] == 0:
            features = {"image": features["image"]}
        return features, tf.one_hot(label, labels)

    found = tf.data.Dataset.from_generator(each, output_signature=signature)
    return found.map(named, num_parallel_calls=tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)


def regularized(model: Any, settings: dict[str, Any]) -> Any:
    """The model with NSL's graph regularisation of one neighbour; as it is at multiplier 0."""
    if settings["multiplier"] == 0:
        return model
    distance = nsl.configs.DistanceConfig(
        distance_type=settings["distance"],
        transform_fn=nsl.configs.TransformType.SOFTMAX,
        sum_over_axis=-1,
    )
    config = nsl.configs.GraphRegConfig(
        neighbor_config=nsl.configs.GraphNeighborConfig(max_neighbors=1),
        multiplier=settings["multiplier"],
        distance_config=distance,
    )
    return nsl.keras.GraphRegularization(model, config)


def main(folder: str) -> None:
    """Train; steps after the first `WARM` are timed."""
    at = Path(folder)
    settings = json.loads((at / "settings.json").read_text(encoding="utf-8"))
    ends, weights = np.load(at / "ends.npy"), np.load(at / "weights.npz")
    network = Network()
    labels, dim = weights["head.weight"].shape
    model = network.model(settings["side"], dim, labels, settings["scale"])
    given = batches(at, settings, ends, labels)
    loss = keras.losses.CategoricalCrossentropy(
        from_logits=True, label_smoothing=settings["smoothing"]
    )
    network.put(weights)
    features, target = next(iter(batches(at, {**settings, "own_input": False}, ends, labels)))
    first = float(loss(target, model(features, training=True)))
    network.put(weights)  # running statistics have moved
    optimizer = keras.optimizers.AdamW(
        Rates(settings["lr"]), weight_decay=settings["weight_decay"], epsilon=1e-8
    )
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    trained, clock = regularized(model, settings), Clock()
    trained.compile(optimizer, loss)
    history = trained.fit(given, epochs=1, verbose=0, callbacks=[clock])
    now: Any = network.get()
    np.savez(at / "trained.npz", **now)
    rows = int(ends[-1] - ends[WARM - 1])
    told = {
        "first_loss": first,
        "loss": {name: values[-1] for name, values in history.history.items()},
        "labelled_a_second": rows / (clock.end - clock.start),
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "nsl": nsl.__version__,
        "tensorflow": tf.__version__,
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main(*sys.argv[1:])
