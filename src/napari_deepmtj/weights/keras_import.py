"""Turning the authors' Keras checkpoints (P20, P21) into models of this package.

A checkpoint is recognised by the shapes of its arrays. `weights.keras_file` reads the file.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_deepmtj.errors import WeightsError
from napari_deepmtj.weights.cards import WeightCard
from napari_deepmtj.weights.keras_file import KerasLayer, read_keras_layers
from napari_deepmtj.weights.runtime import require_torch

if TYPE_CHECKING:
    from torch import nn

FloatArray = npt.NDArray[np.float32]
Shape = tuple[int, ...]

P20 = "Leitner et al. 2020, doi:10.1109/EMBC44109.2020.9176145"
P21 = "Leitner et al. 2022, doi:10.1109/TBME.2021.3130548"

#: Rows and columns of the networks' inputs.
P20_INPUT = (64, 128)
P21_INPUT = (128, 256)

#: Width in pixels of the crop in which P20 scaled labels to 0..1.
P20_CROP_WIDTH = 512

#: Sigma in input pixels of the target that P21's network was trained to draw.
P21_SIGMA_PX = 5.0

#: Shortcuts of a residual block in the names of Keras, before and since 2.2.5.
_SHORTCUT = re.compile(r"_0_(conv|bn)$|_branch1$|shortcut")

#: Epsilon of the ResNet50 of Keras before 2.2.5, known by its names.
_OLD_RESNET_EPSILON = 1e-3


@dataclass(frozen=True)
class Published:
    """One published network, and the figures that its paper gives.

    Parameters
    ----------
    title : str
        As in the paper.
    network, arguments
        For `networks.build.build`.
    paper : str
        `P20` or `P21`.
    table : tuple of three floats, or None
        Mean error in mm, share within 5 mm in %, and RMSE in % of the input's diagonal, on the
        paper's test subjects.
    """

    title: str
    network: str
    arguments: Mapping[str, Any]
    paper: str
    table: tuple[float, float, float] | None = None


#: What is recognised; figures of P20 are those of its Table IV.
PUBLISHED: tuple[Published, ...] = (
    Published("VGG16", "vgg16", {}, P20, (2.66, 86.14, 4.46)),
    Published("ResNet50", "resnet50", {}, P20, (4.37, 70.62, 7.13)),
    Published("VGG-Attention-2", "vgg-attention", {"levels": 2}, P20, (4.98, 64.25, 7.48)),
    Published("VGG-Attention-3", "vgg-attention", {"levels": 3}, P20, (2.55, 88.32, 3.75)),
    Published(
        "VGG-Attention-2, parametrised compatibility",
        "vgg-attention",
        {"levels": 2, "compatibility": "parametrised"},
        P20,
    ),
    Published(
        "VGG-Attention-3, parametrised compatibility",
        "vgg-attention",
        {"levels": 3, "compatibility": "parametrised"},
        P20,
    ),
    Published("Attention U-Net", "attention-unet", {}, P21),
)


def import_keras(path: str | Path, model_id: str | None = None) -> tuple[nn.Module, WeightCard]:
    """Convert a checkpoint of the authors.

    Parameters
    ----------
    path : str or Path
        A Keras 2 HDF5 file, weights alone or whole model.
    model_id : str, optional
        The model's id; the file's stem by default.

    Returns
    -------
    network : nn.Module
        In evaluation mode.
    card : WeightCard
        To be saved with it by `weights.store.save_model`.

    Raises
    ------
    WeightsError
        If the file is damaged or none of the published networks.
    MissingExtraError
        If h5py is not installed.
    """
    path = Path(path)
    layers = read_keras_layers(path)
    published, arguments = _recognise(layers, path)
    require_torch()
    from napari_deepmtj.networks.build import build

    network = build(published.network, **arguments)
    _fill(network, layers, path)
    return network.eval(), _card(published, arguments, model_id or path.stem)


# ----- which network -----------------------------------------------------------------------


def _recognise(layers: list[KerasLayer], path: Path) -> tuple[Published, dict[str, Any]]:
    """Find the published network with kernels of just these shapes."""
    import torch

    from napari_deepmtj.networks.build import build

    kernels = [kernel.shape for kernel in map(_kernel, layers) if kernel is not None]
    found = Counter(kernels)
    first = next((shape for shape in kernels if len(shape) == 4), None)
    if first is not None and first[2] == 1:
        for published in PUBLISHED:
            arguments = dict(published.arguments) | _arguments(published, layers, first[3])
            with torch.device("meta"):
                network = build(published.network, **arguments)
            wanted = Counter(_keras_shape(m) for _, m in _modules(network) if _has_kernel(m))
            if wanted == found:
                return published, arguments
    names = ", ".join(published.title for published in PUBLISHED)
    raise WeightsError(
        f"its {len(kernels)} kernels are those of no published network for pictures of 64 x 128 "
        f"(P20) or 128 x 256 px (P21); recognised are {names}",
        path=path,
    )


def _arguments(published: Published, layers: list[KerasLayer], first: int) -> dict[str, Any]:
    """Return what the shapes of kernels do not tell."""
    arguments: dict[str, Any] = {} if first == 64 else {"channels": first / 64}
    if published.network == "resnet50" and any("_branch" in layer.name for layer in layers):
        arguments["epsilon"] = _OLD_RESNET_EPSILON
    if published.network == "vgg-attention":
        local, joint = 4 * first, 8 * first
        for layer in layers:
            kernel = _kernel(layer)
            if kernel is not None and kernel.shape == (local, joint) and "bias" in layer.arrays:
                arguments["project_bias"] = True
    return arguments


def _kernel(layer: KerasLayer) -> FloatArray | None:
    """Return a layer's kernel; 1 x 1 convolutions and lone vectors count as linear maps."""
    if "moving_mean" in layer.arrays:
        return None
    named = [array for name, array in layer.arrays.items() if name != "bias"]
    if len(named) != 1:
        return None
    kernel = named[0]
    if kernel.ndim == 1:
        return kernel[:, None]
    return kernel[0, 0] if kernel.ndim == 4 and kernel.shape[:2] == (1, 1) else kernel


# ----- which array goes where -----------------------------------------------------------------


def _modules(network: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield the modules that hold arrays, where of equal shape in the order of Keras's layers."""
    from torch import nn

    kinds = (nn.Conv2d, nn.Linear, nn.BatchNorm2d)
    found = [(name, m) for name, m in network.named_modules() if isinstance(m, kinds)]
    # The learned u of the three depths: Keras makes them fine to coarse, we coarse to fine.
    learned = [item for item in found if item[0].endswith(".u")]
    turned = iter(learned[::-1])
    for item in found:
        yield next(turned) if item in learned else item


def _has_kernel(module: nn.Module) -> bool:
    return bool(module.get_parameter("weight").ndim > 1)


def _keras_shape(module: nn.Module) -> Shape:
    """Return the shape that `_kernel` gives of a convolution or linear map."""
    out, into, *size = module.get_parameter("weight").shape
    plain = not size or size == [1, 1]
    return (into, out) if plain else (*size, into, out)


def _fill(network: nn.Module, layers: list[KerasLayer], path: Path) -> None:
    """Copy the arrays of a recognised checkpoint into its network."""
    import torch
    from torch import nn

    streams: dict[tuple[Any, ...], deque[KerasLayer]] = defaultdict(deque)
    shortcuts = "shortcut" in " ".join(name for name, _ in _modules(network))
    for layer in layers:
        aside = shortcuts and bool(_SHORTCUT.search(layer.name))
        kernel = _kernel(layer)
        if kernel is not None:
            streams["kernel", aside, *kernel.shape].append(layer)
        elif "moving_mean" in layer.arrays:
            streams["norm", aside, len(layer.arrays["moving_mean"])].append(layer)
    state: dict[str, torch.Tensor] = {}
    for name, module in _modules(network):
        aside = "shortcut" in name
        norm = isinstance(module, nn.BatchNorm2d)
        key = (
            ("norm", aside, module.num_features)
            if isinstance(module, nn.BatchNorm2d)
            else ("kernel", aside, *_keras_shape(module))
        )
        if not streams[key]:
            raise WeightsError(
                f"which of its layers is {name!r} cannot be told; residual blocks are known by "
                "the names that Keras gives its own ResNet50"
                if shortcuts
                else f"it lacks the {'normalisation' if norm else 'kernel'} of {name!r}",
                path=path,
            )
        grid = _grid(network, module)
        arrays = _converted(module, streams[key].popleft(), grid)
        for own, array in arrays.items():
            state[f"{name}.{own}"] = torch.from_numpy(np.ascontiguousarray(array))
    left = [layer.name for stream in streams.values() for layer in stream]
    if left:
        raise WeightsError(f"it has layers too many: {', '.join(left)}", path=path)
    expected = dict(network.state_dict())
    missing = [n for n in expected if n not in state and not n.endswith("num_batches_tracked")]
    assert not missing, missing
    network.load_state_dict(state, strict=False)


def _grid(network: nn.Module, module: nn.Module) -> Shape:
    """Return rows and columns of the map that a linear map takes flattened, () if none."""
    from napari_deepmtj.networks.vgg import Vgg16
    from napari_deepmtj.networks.vgg_attention import VggAttention

    flattened = (isinstance(network, Vgg16) and module is network.head) or (
        isinstance(network, VggAttention) and module is network.joint
    )
    return (P20_INPUT[0] // 32, P20_INPUT[1] // 32) if flattened else ()


def _converted(module: nn.Module, layer: KerasLayer, grid: Shape) -> dict[str, FloatArray]:
    """Return a layer's arrays by the names and in the layout of a torch module."""
    from torch import nn

    arrays = layer.arrays
    if isinstance(module, nn.BatchNorm2d):
        n = module.num_features
        return {
            "weight": arrays.get("gamma", np.ones(n, np.float32)),
            "bias": arrays.get("beta", np.zeros(n, np.float32)),
            "running_mean": arrays["moving_mean"],
            "running_var": arrays["moving_variance"],
        }
    kernel = _kernel(layer)
    assert kernel is not None
    weight = module.get_parameter("weight")
    if grid:  # Keras flattens rows, columns, channels; torch channels first
        kernel = kernel.reshape(*grid, -1, kernel.shape[-1])
    turned = kernel.transpose(3, 2, 0, 1) if kernel.ndim == 4 else kernel.T
    converted = {"weight": turned.reshape(tuple(weight.shape))}
    if module.bias is not None:
        converted["bias"] = arrays.get("bias", np.zeros(kernel.shape[-1], np.float32))
    return converted


# ----- its card --------------------------------------------------------------------------------


def _card(published: Published, arguments: Mapping[str, Any], model_id: str) -> WeightCard:
    first = published.paper is P20
    height, width = P20_INPUT if first else P21_INPUT
    decoding: dict[str, float] = {"target_sigma_px": P21_SIGMA_PX, "sd_floor_px": P21_SIGMA_PX}
    figures: dict[str, Any] = {"on": f"none given for these weights in {published.paper}"}
    if first:
        decoding = {"label_width": float(P20_CROP_WIDTH)}
    if published.table is not None:
        mae, valid, rmse = published.table
        # The paper gives one figure for all pictures, so that is what confidence and sd are.
        decoding["bias"] = math.log(valid / (100 - valid))
        decoding["sd_floor_px"] = rmse / 100 * math.hypot(*P20_INPUT) / math.sqrt(2)
        figures = {
            "on": f"the test subjects of {published.paper}, not measured here",
            "mae_mm": mae,
            "valid_percent_5_mm": valid,
            "rmse_percent_of_diagonal": rmse,
        }
    return WeightCard(
        id=model_id,
        version="imported",
        licence="LicenseRef-as-published",
        network=published.network,
        network_arguments=arguments,
        input_height=height,
        input_width=width,
        normalisation="minus-one-one" if first else "standardise",
        trained_on=f"recordings of patients and healthy people by the authors of {published.paper}",
        label_definition="the most distal insertion of the muscle into the free tendon, "
        "as the authors' annotators clicked it",
        decoding=decoding,
        figures=figures,
        made_with={
            "imported_from": "Keras HDF5",
            "published_as": f"{published.title}, {published.paper}",
            "region": "a 2:1 crop of the B-mode picture, as in the paper; other shapes are padded",
            "confidence": "not calibrated: the paper's average for every picture"
            if published.table
            else "not calibrated",
        },
    )
