"""Finding, reading and writing weights files. Only safetensors; no pickle is ever loaded.

A file holds a network's weights, its card, and its ONNX graph (`weights.graph`). Reading one needs
no torch; the torch network is made when it is first asked for.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from napari_deepmtj.errors import WeightsError
from napari_deepmtj.weights.cards import WeightCard
from napari_deepmtj.weights.runtime import require_torch

if TYPE_CHECKING:
    from torch import nn

#: The model that is used when none is asked for.
DEFAULT_MODEL = "compact"

#: Environment variable naming a folder of further models.
MODELS_VARIABLE = "NAPARI_DEEPMTJ_MODELS"

#: Key of the card in the safetensors metadata. It is the only key, so that a file is a pure
#: function of its tensors and card.
CARD_KEY = "napari_deepmtj_card"

_SUFFIX = ".safetensors"

#: What begins the names of tensors that are not the network's: `Model.familiar`.
_FAMILIAR = "familiar/"

#: Name of the tensor whose bytes are the ONNX graph; it is not part of the weights' hash.
_GRAPH = "onnx/graph"

#: First bytes of files that people try to load as weights, and what to tell them.
_OTHER_FORMATS = (
    (b"PK\x03\x04", "is a torch or zip archive, which may hold pickled code"),
    (b"\x80", "is a pickle, which can run code when loaded"),
    (b"\x89HDF", "is an HDF5 (Keras) file"),
)


class Model:
    """A network that is ready to use, and its card.

    Parameters
    ----------
    card : WeightCard
        What it is.
    network : torch.nn.Module, optional
        In evaluation mode, fp32, on the CPU. A model from a file has none until it is asked for.
    familiar : mapping of str to ndarray, optional
        By what `inference.out_of_distribution` tells pictures that the model is not meant for;
        empty if the file has none.
    weights : mapping of str to ndarray, optional
        The network's weights as they are stored, by their names in the state dict.
    graph : bytes, optional
        The network as ONNX, see `weights.graph`; empty if there is none.
    """

    def __init__(
        self,
        card: WeightCard,
        network: nn.Module | None = None,
        familiar: Mapping[str, npt.NDArray[Any]] | None = None,
        *,
        weights: Mapping[str, npt.NDArray[Any]] | None = None,
        graph: bytes = b"",
    ) -> None:
        self.card = card
        self.familiar: Mapping[str, npt.NDArray[Any]] = familiar or {}
        self.weights: Mapping[str, npt.NDArray[Any]] = weights or {}
        self.graph = graph
        self._network = network

    @property
    def network(self) -> nn.Module:
        """The torch network, made at the first use.

        In evaluation mode, fp32, on the CPU, in channels-last layout, in which CPUs convolve
        faster. Shared by all who hold the model: copy it before moving it to a device or
        training it.

        Raises
        ------
        WeightsError
            If the weights do not fit the network of that name.
        DeviceError
            If torch cannot be loaded.
        """
        if self._network is None:
            self._network = _network_of(self.card, self.weights)
        return self._network

    def with_card(self, card: WeightCard) -> Model:
        """Return the same network with another card."""
        return Model(card, self._network, self.familiar, weights=self.weights, graph=self.graph)


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A weights file and the card inside it."""

    path: Path
    card: WeightCard


def bundled_folder() -> Path:
    """Return the folder of the weights that come with the package."""
    return Path(__file__).parent


def user_folder() -> Path:
    """Return the folder of a person's own models; it need not exist.

    `NAPARI_DEEPMTJ_MODELS` if set, else `models` in the platform's folder for application data.
    """
    if named := os.environ.get(MODELS_VARIABLE):
        return Path(named).expanduser()
    import platformdirs

    return platformdirs.user_data_path("napari-deepmtj", appauthor=False) / "models"


def find_models() -> tuple[list[ModelFile], list[WeightsError]]:
    """Look for models in the package and in the user's folder.

    Returns
    -------
    models : list of ModelFile
        Bundled ones first, each folder in order of id; every id once.
    problems : list of WeightsError
        One for each file that cannot be offered, with the reason.
    """
    models: dict[str, ModelFile] = {}
    problems: list[WeightsError] = []
    for folder in (bundled_folder(), user_folder()):
        found = []
        for path in sorted(folder.glob(f"*{_SUFFIX}")):
            try:
                found.append(ModelFile(path, read_card(path)))
            except WeightsError as error:
                problems.append(error)
        for file in sorted(found, key=lambda file: file.card.id):
            if file.card.id in models:
                taken = models[file.card.id].path.name
                problems.append(
                    WeightsError(
                        f"the id {file.card.id!r} is taken by {taken}; give this file's path to "
                        "use it",
                        path=file.path,
                    )
                )
            else:
                models[file.card.id] = file
    return list(models.values()), problems


def list_models() -> list[WeightCard]:
    """Return the cards of all models that can be asked for by id."""
    return [file.card for file in find_models()[0]]


def read_card(path: str | Path) -> WeightCard:
    """Read the card of a weights file without reading its tensors.

    Raises
    ------
    WeightsError
        If it is not one of our weights files.
    """
    return _read(Path(path), tensors=False)[0]


def resolve_model(model: str | Path) -> Path:
    """Return the file of a model given by id or by path; ids come first.

    Raises
    ------
    WeightsError
        If there is neither; it lists the ids there are.
    """
    models, problems = find_models()
    for file in models:
        if file.card.id == str(model):
            return file.path
    path = Path(model)
    if path.is_file():
        return path
    if path.suffix or len(path.parts) > 1:
        raise WeightsError("there is no such weights file", path=path)
    offered = ", ".join(file.card.id for file in models) or "none"
    unread = "".join(f"; unusable: {problem}" for problem in problems)
    raise WeightsError(
        f"there is no model {str(model)!r}; there are: {offered} (or give a {_SUFFIX} file){unread}"
    )


def load_model(model: str | Path = DEFAULT_MODEL) -> Model:
    """Load a model and verify it.

    Parameters
    ----------
    model : str or Path
        An id that `list_models` has, or a weights file.

    Returns
    -------
    Model
        Its torch network is made at its first use, or here if the file has no graph.

    Raises
    ------
    WeightsError
        If the model is unknown, not one of ours, damaged, or does not fit its network.
    DeviceError
        If the file has no graph and torch cannot be loaded.
    """
    path = resolve_model(model)
    card, arrays, graph = _whole(path)
    familiar = {
        name.removeprefix(_FAMILIAR): arrays.pop(name)
        for name in tuple(arrays)
        if name.startswith(_FAMILIAR)
    }
    loaded = Model(card, familiar=familiar, weights=arrays, graph=graph)
    if not graph:
        try:
            loaded.network  # noqa: B018  (made here, so that what does not fit names the file)
        except WeightsError as error:
            raise WeightsError(error.message, path=path) from error
    return loaded


def _network_of(card: WeightCard, weights: Mapping[str, npt.NDArray[Any]]) -> nn.Module:
    """Return the torch network with these weights."""
    require_torch()
    import torch

    from napari_deepmtj.networks.build import build

    try:
        network = build(card.network, **card.network_arguments)
        network.load_state_dict(
            {name: _widened(torch.from_numpy(array)) for name, array in weights.items()},
            strict=True,
        )
    except (RuntimeError, TypeError, ValueError, KeyError) as error:
        raise WeightsError(
            f"the weights do not fit the network {card.network!r} of this version: {error}"
        ) from error
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network.eval()


def save_model(
    path: str | Path,
    network: nn.Module,
    card: WeightCard,
    *,
    dtype: Literal["float32", "float16"] = "float32",
    familiar: Mapping[str, npt.NDArray[Any]] | None = None,
) -> WeightCard:
    """Write a network, its ONNX graph and its card, atomically.

    A network that is not one of `networks.build` gets no graph: only torch computes it.

    Parameters
    ----------
    path : str or Path
        A `.safetensors` file; replaced if it exists.
    network : torch.nn.Module
        Any device; left as it is.
    card : WeightCard
        Its `sha256`, `graph_sha256` and `created` are filled in (`created` only if empty).
    dtype : {"float32", "float16"}
        How tensors of two or more axes are stored. Half precision halves the file and changes
        the numbers: measure the figures on the file that was written. Biases and normalisation
        statistics stay in fp32, because they are small and their range is wide.
    familiar : mapping of str to ndarray, optional
        `Model.familiar`, stored as it is.

    Returns
    -------
    WeightCard
        The card as written.

    Raises
    ------
    WeightsError
        If the name has another suffix, a weight is not finite, or the network has a layer that
        has no form in ONNX.
    """
    from napari_deepmtj.networks.build import is_ours
    from napari_deepmtj.weights.graph import make_graph

    path = Path(path)
    if path.suffix != _SUFFIX:
        raise WeightsError(f"weights are saved as {_SUFFIX}, not {path.suffix!r}", path=path)
    arrays: dict[str, npt.NDArray[Any]] = {}
    for name, tensor in network.state_dict().items():
        array = np.ascontiguousarray(tensor.detach().cpu().numpy())
        if dtype == "float16" and array.dtype == np.float32 and array.ndim >= 2:
            with np.errstate(over="ignore"):  # an overflow is caught below, by name
                array = array.astype(np.float16)
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise WeightsError(f"the weight {name} is not finite in {array.dtype}", path=path)
        arrays[name] = array
    for name, array in (familiar or {}).items():
        if not np.isfinite(array).all():
            raise WeightsError(f"{_FAMILIAR}{name} is not finite", path=path)
        arrays[_FAMILIAR + name] = np.ascontiguousarray(array)
    graph = make_graph(network, card) if is_ours(network) else b""
    return _write(path, arrays, graph, card)


def save_card(source: str | Path, path: str | Path, card: WeightCard) -> WeightCard:
    """Write the tensors of a weights file, as they are, with another card, atomically.

    A file without an ONNX graph gets one.

    Parameters
    ----------
    source : str or Path
        A weights file.
    path : str or Path
        A `.safetensors` file; replaced if it exists.
    card : WeightCard
        Its `sha256` and `created` are filled in, as by `save_model`.

    Raises
    ------
    WeightsError
        If the source is damaged.
    """
    from napari_deepmtj.networks.build import is_ours
    from napari_deepmtj.weights.graph import make_graph

    _, arrays, graph = _whole(Path(source))
    if not graph:
        network = load_model(source).network
        graph = make_graph(network, card) if is_ours(network) else b""
    return _write(Path(path), arrays, graph, card)


def _write(
    path: Path, arrays: Mapping[str, npt.NDArray[Any]], graph: bytes, card: WeightCard
) -> WeightCard:
    """Write a weights file, and return its card with hashes and time filled in."""
    from safetensors.numpy import save

    from napari_deepmtj.core.atomic import atomic_write

    card = replace(
        card,
        sha256=hash_tensors(arrays),
        graph_sha256=hashlib.sha256(graph).hexdigest() if graph else "",
        created=card.created or dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
    )
    tensors = dict(arrays)
    if graph:
        tensors[_GRAPH] = np.frombuffer(graph, np.uint8)
    atomic_write(path, save(tensors, metadata={CARD_KEY: card.to_json()}))
    return card


def hash_tensors(arrays: Mapping[str, npt.NDArray[Any]]) -> str:
    """Return the SHA-256 over names, types, shapes and bytes of tensors, sorted by name."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name}|{array.dtype.newbyteorder('<').str}|{array.shape}|".encode())
        digest.update(array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes())
    return digest.hexdigest()


def _whole(path: Path) -> tuple[WeightCard, dict[str, npt.NDArray[Any]], bytes]:
    """Return the card, the tensors and the ONNX graph of a file, checked against its hashes.

    Raises
    ------
    WeightsError
        If one does not have the hash that the card says.
    """
    card, arrays = _read(path, tensors=True)
    graph = arrays.pop(_GRAPH).tobytes() if _GRAPH in arrays else b""
    hashes = [("weights are", hash_tensors(arrays), card.sha256)]
    if graph or card.graph_sha256:
        hashes.append(("ONNX graph is", hashlib.sha256(graph).hexdigest(), card.graph_sha256))
    for what, there, expected in hashes:
        if there != expected:
            raise WeightsError(
                f"the {what} damaged: the hash is {there[:12]}, the card says "
                f"{expected[:12]}; get the file again",
                path=path,
            )
    return card, arrays, graph


def _read(path: Path, *, tensors: bool) -> tuple[WeightCard, dict[str, npt.NDArray[Any]]]:
    """Read the card and, if asked, the tensors of a weights file."""
    from safetensors import SafetensorError, safe_open

    try:
        with path.open("rb") as file:
            head = file.read(8)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise WeightsError(f"cannot be read: {reason}", path=path) from error
    try:
        with safe_open(path, framework="numpy") as opened:
            text = (opened.metadata() or {}).get(CARD_KEY)
            names = opened.keys() if tensors else ()
            arrays = {name: opened.get_tensor(name) for name in names}
    except (SafetensorError, OSError, TypeError, ValueError) as error:
        what = f"is no safetensors file or is damaged ({error})"
        for magic, other in _OTHER_FORMATS:
            if head.startswith(magic):
                what = other
        raise WeightsError(
            f"{what}; only {_SUFFIX} files saved by napari-deepmtj are loaded", path=path
        ) from error
    if text is None:
        raise WeightsError(
            "is a safetensors file without a model card; only models saved by napari-deepmtj "
            "are loaded",
            path=path,
        )
    try:
        return WeightCard.from_json(text), arrays
    except WeightsError as error:
        raise WeightsError(error.message, path=path) from error


def _widened(tensor: Any) -> Any:
    """Return floating tensors as fp32, others as they are."""
    return tensor.float() if tensor.is_floating_point() else tensor
