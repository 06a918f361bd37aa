"""Hold converted Keras checkpoints of the published networks against Keras itself.

The five networks are built in tf_keras (Keras 2) from their description, with random weights and
batch-norm statistics, saved as HDF5, converted, and compared on the same pictures: coordinates, and
every attention map divided by its own maximum.

    pip install --group keras-parity -e .
    python benchmarks/keras_parity.py                 # full width, 50 frames, about 10 minutes
    python benchmarks/keras_parity.py --fixtures DIR  # writes the small fixtures of the tests

Seeded; random weights, so no accuracy. For every network: the largest difference of coordinates in
shares of the picture (of probabilities for the U-Net), of maps, and the lowest correlation of maps.
How much the outputs and the flattest map vary is printed too, because constants are equal to
anything. Exits with 1 if any is worse than promised.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
os.environ.setdefault("ABSL_MIN_LOG_LEVEL", "3")

import numpy as np
import tf_keras as keras
import torch
from tf_keras import layers

from napari_deepmtj.weights.keras_import import import_keras

SEED = 20
#: Promised: coordinates in shares of the picture, maps in shares of their maximum, correlation.
COORDINATES, MAPS, CORRELATION = 1e-4, 1e-3, 0.9999
#: Outputs must vary this much over pictures, and every map over its places, in shares of its peak.
SPREAD, MAP_SPREAD = 0.01, 0.05
#: Draws of random weights until every map varies; a gate of one narrow channel may be dead.
DRAWS = 20
#: Standard deviation of the scores in each softmax, to which random networks are tempered.
SCORES = 1.5


def conv_norm_relu(x: Any, channels: int) -> Any:
    """3 x 3 convolution, batch norm, ReLU."""
    x = layers.Conv2D(channels, 3, padding="same")(x)
    return layers.Activation("relu")(layers.BatchNormalization()(x))


def several(x: Any, *channels: int) -> Any:
    """Several `conv_norm_relu` in a row."""
    for c in channels:
        x = conv_norm_relu(x, c)
    return x


def vgg16(w: float) -> keras.Model:
    """P20's VGG16."""
    inputs = x = layers.Input((64, 128, 1))
    for channels, count in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        x = layers.MaxPooling2D()(several(x, *[int(w * channels)] * count))
    return keras.Model(inputs, [layers.Dense(2, activation="sigmoid")(layers.Flatten()(x))])


def resnet50(w: float) -> keras.Model:
    """The ResNet50 of Keras, for one channel, with two sigmoid units."""

    def norm(x: Any, name: str) -> Any:
        return layers.BatchNormalization(epsilon=1.001e-5, name=name)(x)

    def bottleneck(x: Any, inner: int, stride: int, name: str, project: bool) -> Any:
        shortcut = x
        if project:
            shortcut = layers.Conv2D(4 * inner, 1, strides=stride, name=name + "_0_conv")(x)
            shortcut = norm(shortcut, name + "_0_bn")
        x = norm(layers.Conv2D(inner, 1, strides=stride, name=name + "_1_conv")(x), name + "_1_bn")
        x = layers.Activation("relu")(x)
        x = layers.Conv2D(inner, 3, padding="same", name=name + "_2_conv")(x)
        x = layers.Activation("relu")(norm(x, name + "_2_bn"))
        x = norm(layers.Conv2D(4 * inner, 1, name=name + "_3_conv")(x), name + "_3_bn")
        return layers.Activation("relu")(layers.Add()([shortcut, x]))

    inputs = layers.Input((64, 128, 1))
    x = layers.ZeroPadding2D(3)(inputs)
    x = norm(layers.Conv2D(int(64 * w), 7, strides=2, name="conv1_conv")(x), "conv1_bn")
    x = layers.ZeroPadding2D(1)(layers.Activation("relu")(x))
    x = layers.MaxPooling2D(3, strides=2)(x)
    for stage, (count, inner) in enumerate(((3, 64), (4, 128), (6, 256), (3, 512)), start=2):
        for i in range(count):
            stride = 2 if i == 0 and stage > 2 else 1
            x = bottleneck(x, int(inner * w), stride, f"conv{stage}_block{i + 1}", i == 0)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, [layers.Dense(2, activation="sigmoid")(x)])


def attend(local: Any, joint: Any) -> tuple[Any, Any]:
    """J18's dot-product attention."""
    height, width, channels = local.shape[1:]
    flat = layers.Reshape((height * width, channels))(local)
    score = layers.Activation("softmax")(layers.Dot(axes=(2, 1))([flat, joint]))
    return layers.Dot(axes=(1, 1))([score, flat]), layers.Reshape((height, width))(score)


def vgg_attention(w: float, levels: int) -> keras.Model:
    """P20's VGG-Attention-2 and -3; gives the maps, coarse to fine, after the position."""
    c64, c128, c256, c512 = (int(w * c) for c in (64, 128, 256, 512))
    inputs = layers.Input((64, 128, 1))
    local1 = several(inputs, c64, c64, c128, c128, c256, c256, c256)
    local2 = several(layers.MaxPooling2D()(local1), c512, c512, c512)
    local3 = several(layers.MaxPooling2D()(local2), c512, c512, c512)
    x = layers.MaxPooling2D()(local3)
    for _ in range(2):
        x = layers.MaxPooling2D()(conv_norm_relu(x, c512))
    joint = layers.Dense(c512, activation="relu")(layers.Flatten()(x))
    locals_ = [local3, local2]
    if levels == 3:
        locals_.append(layers.Dense(c512, use_bias=False)(local1))
    found = [attend(local, joint) for local in locals_]
    joined = layers.Concatenate()([feature for feature, _ in found])
    outputs = [layers.Dense(2, activation="sigmoid")(joined), *(a for _, a in found)]
    return keras.Model(inputs, outputs)


def attention_unet(w: float) -> keras.Model:
    """P21's attention U-Net; gives its gates, coarse to fine, after the probability map."""
    widths = [int(w * c) for c in (64, 128, 256, 512, 1024)]
    inputs = x = layers.Input((128, 256, 1))
    skips = []
    for level, c in enumerate(widths):
        x = several(layers.MaxPooling2D()(x) if level else x, c, c)
        skips.append(x)
    gates = []
    for c, skip in zip(widths[-2::-1], skips[-2::-1], strict=True):
        up = layers.UpSampling2D()(x)
        inner = up.shape[-1] // 4
        joint = layers.Add()([layers.Conv2D(inner, 1)(skip), layers.Conv2D(inner, 1)(up)])
        joint = layers.Activation("relu")(joint)
        gate = layers.Conv2D(1, 1, activation="sigmoid")(joint)
        gates.append(layers.Reshape(gate.shape[1:3])(gate))
        x = several(layers.Concatenate()([up, layers.Multiply()([skip, gate])]), c, c)
    outputs = [layers.Conv2D(1, 1, activation="sigmoid")(x), *gates]
    return keras.Model(inputs, outputs)


NETWORKS: dict[str, Callable[[float], keras.Model]] = {
    "vgg16": vgg16,
    "resnet50": resnet50,
    "vgg-attention-2": lambda w: vgg_attention(w, 2),
    "vgg-attention-3": lambda w: vgg_attention(w, 3),
    "attention-unet": attention_unet,
}


def randomise(model: keras.Model, rng: np.random.Generator) -> None:
    """Give every array random values at which signals neither die nor explode."""
    for layer in model.layers:
        arrays = []
        for weight in layer.weights:
            name, shape = weight.name.split("/")[-1], tuple(weight.shape)
            if "kernel" in name:
                fan = int(np.prod(shape[:-1]))
                arrays.append(rng.normal(0, np.sqrt(2 / fan), shape))
            elif "gamma" in name or "variance" in name:
                arrays.append(rng.uniform(0.6, 1.4, shape))
            else:
                arrays.append(rng.normal(0, 0.1, shape))
        layer.set_weights(arrays)


def temper(model: keras.Model, inputs: np.ndarray) -> float:
    """Scale the dense layers so that nothing saturates and equality means something.

    Returns the standard deviation over pictures (and places) of what the network says first,
    the lower one of the two coordinates.
    """
    dense = [layer for layer in model.layers if isinstance(layer, layers.Dense) and layer.use_bias]
    *joint, head = dense or [None]  # the projection of level 1 has no bias
    for _ in range(40):  # a softmax that points at one place would hide the others
        if not any(m.max() > 0.3 for m in of_keras(model, inputs)[1:]) or not joint:
            break
        joint[0].set_weights([array / 2 for array in joint[0].get_weights()])
    if joint:
        temper_levels(model, inputs)
    if head is not None:
        feature = of_keras(keras.Model(model.input, head.input), inputs)[0]
        kernel = head.get_weights()[0]
        kernel = kernel / (feature @ kernel).std(axis=0)
        head.set_weights([kernel, [0.5, -0.5] - (feature @ kernel).mean(axis=0)])
    first = of_keras(model, inputs)[0]
    return float(first.std(axis=0).min() if first.ndim == 2 else first.std())


def temper_levels(model: keras.Model, inputs: np.ndarray) -> None:
    """Give the scores of each attended depth the same spread, one depth after the other.

    Level 1 is scaled at its projection; the others at the normalisation that they come from, and
    the next convolution back, so that nothing deeper changes.
    """
    of_kind = {
        kind: [layer for layer in model.layers if isinstance(layer, kind)]
        for kind in (layers.Conv2D, layers.BatchNormalization, layers.Dense)
    }
    for number, level in enumerate(of_keras(model, inputs)[1:]):  # 3, 2, 1
        factor = SCORES / np.log(np.maximum(level, 1e-30)).std(axis=(1, 2)).mean()
        if number == 2:
            (projection,) = [layer for layer in of_kind[layers.Dense] if not layer.use_bias]
            projection.set_weights([array * factor for array in projection.get_weights()])
            continue
        norm = of_kind[layers.BatchNormalization][(12, 9)[number]]
        gamma, beta, *statistics = norm.get_weights()
        norm.set_weights([gamma * factor, beta * factor, *statistics])
        after = of_kind[layers.Conv2D][(13, 10)[number]]
        kernel, bias = after.get_weights()
        after.set_weights([kernel / factor, bias])


def pictures(model: keras.Model, n: int, rng: np.random.Generator) -> np.ndarray:
    """Return smooth random pictures (n, H, W, 1) in -1..1, of whole grey levels."""
    height, width = model.input_shape[1:3]
    small = torch.from_numpy(rng.uniform(-1, 1, (n, 1, height // 8, width // 8)))
    large = torch.nn.functional.interpolate(small, (height, width), mode="bicubic")
    noise = rng.normal(0, 0.2, (n, height, width))
    grey = np.round((np.clip(large[:, 0].numpy() + noise, -1, 1) + 1) * 127.5)
    return (grey / 127.5 - 1).astype(np.float32)[..., None]


def of_keras(model: keras.Model, inputs: np.ndarray) -> list[np.ndarray]:
    """Run Keras, a few pictures at a time."""
    parts = [model.predict_on_batch(inputs[i : i + 2]) for i in range(0, len(inputs), 2)]
    parts = [part if isinstance(part, list) else [part] for part in parts]
    return [np.concatenate(arrays) for arrays in zip(*parts, strict=True)]


@torch.inference_mode()
def of_torch(network: torch.nn.Module, inputs: np.ndarray) -> list[np.ndarray]:
    """Run the converted network, a few pictures at a time."""
    parts = []
    for i in range(0, len(inputs), 2):
        batch = torch.from_numpy(inputs[i : i + 2]).permute(0, 3, 1, 2).contiguous()
        output = network(batch)
        first = output.xy if output.xy is not None else output.heatmap.sigmoid()[..., None]
        parts.append([first.numpy(), *(a.numpy() for a in output.attention)])
    return [np.concatenate(arrays) for arrays in zip(*parts, strict=True)]


def map_spread(maps: list[np.ndarray]) -> float:
    """Return how much the flattest of all maps varies, as a share of its maximum."""
    found = [float(np.ptp(one) / one.max()) for level in maps for one in level]
    return min(found, default=1.0)


def differences(expected: list[np.ndarray], got: list[np.ndarray]) -> tuple[float, float, float]:
    """Return the largest of coordinates and of maps, and the lowest correlation of maps."""
    maps, correlation = 0.0, 1.0
    for e, g in zip(expected[1:], got[1:], strict=True):
        for one, other in zip(e, g, strict=True):
            maps = max(maps, float(np.abs(one / one.max() - other / other.max()).max()))
            found = float(np.corrcoef(one.ravel(), other.ravel())[0, 1])
            correlation = min(correlation, found if np.isfinite(found) else -1.0)
    return float(np.abs(expected[0] - got[0]).max()), maps, correlation


def save_outputs(file: Path, inputs: np.ndarray, outputs: list[np.ndarray]) -> None:
    """Save two pictures and what Keras says of them, maps in 16 bit of their maximum."""
    first, *maps = (array[:2] for array in outputs)
    scaled = [m / m.max(axis=(1, 2), keepdims=True) for m in maps]
    np.savez_compressed(
        file,
        grey=np.round((inputs[:2, ..., 0] + 1) * 127.5).astype(np.uint8),
        output0=first,
        **{f"output{i}": np.round(m * 65535).astype(np.uint16) for i, m in enumerate(scaled, 1)},
    )


def main() -> int:
    """Compare all networks and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=50)
    parser.add_argument("--width", type=float, default=1.0, help="factor on all channels")
    parser.add_argument("--only", choices=NETWORKS, help="this network, with the same weights")
    parser.add_argument("--fixtures", type=Path, help="write small checkpoints and outputs here")
    given = parser.parse_args()
    width = 1 / 32 if given.fixtures else given.width
    frames = 8 if given.fixtures else given.frames
    rng = np.random.default_rng(SEED)
    failed = False
    columns = ("network", "spread of outputs", "of maps", "coordinates", "maps", "correlation")
    print(f"| {' | '.join(columns)} |\n{'|---' * len(columns)}|")
    for name, make in NETWORKS.items():
        keras.backend.clear_session()
        model = make(width)
        for _ in range(DRAWS):
            randomise(model, rng)
            inputs = pictures(model, frames, rng)
            if given.only not in (None, name):  # only the random numbers are drawn
                break
            spread = temper(model, inputs[:8])
            expected = of_keras(model, inputs)
            varies = map_spread(expected[1:])
            if varies > MAP_SPREAD:
                break
        if given.only not in (None, name):
            continue
        with tempfile.TemporaryDirectory() as folder:
            file = (given.fixtures or Path(folder)) / f"{name}.h5"
            file.parent.mkdir(parents=True, exist_ok=True)
            model.save_weights(file)
            network, _ = import_keras(file)
        if given.fixtures:
            save_outputs(file.with_suffix(".npz"), inputs, expected)
        coordinates, maps, correlation = differences(expected, of_torch(network, inputs))
        good = coordinates < COORDINATES and maps < MAPS and correlation > CORRELATION
        good = good and spread > SPREAD and varies > MAP_SPREAD
        failed = failed or not good
        shown = f"{maps:.1e} | {correlation:.8f}" if expected[1:] else "- | -"
        flattest = f"{varies:.2f}" if expected[1:] else "-"
        verdict = "" if good else " FAILED"
        row = f"| {name} | {spread:.3f} | {flattest} | {coordinates:.1e} | {shown} |{verdict}"
        print(row, flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
