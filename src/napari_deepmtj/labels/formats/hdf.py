"""pandas tables in HDF5 as DeepLabCut and movement keep them. What is in them is `dlc`'s.

PyTables unpickles what it finds in a file, which could run a stranger's program; so a file is
looked through first, without PyTables, and only the harmless is opened with it.
"""

from __future__ import annotations

import pickletools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_deepmtj.core.atomic import atomic_path
from napari_deepmtj.errors import LabelError, MissingExtraError

if TYPE_CHECKING:
    import pandas as pd

#: Keys of the table: DeepLabCut's and movement's, and napari-deeplabcut's of 2022 to 2026.
KEYS = ("df_with_missing", "keypoints")

#: What the pickles of a pandas table call on: plain numbers and types, never a program.
_HARMLESS = frozenset(
    f"{module} {name}"
    for module, name in [
        ("numpy", "dtype"),
        ("numpy", "ndarray"),
        ("numpy.core.multiarray", "scalar"),
        ("numpy.core.multiarray", "_reconstruct"),
        ("numpy._core.multiarray", "scalar"),
        ("numpy._core.multiarray", "_reconstruct"),
        ("_codecs", "encode"),
    ]
)
#: Operations that call on something by other ways than the two names that are looked at.
_HIDDEN_CALLS = {"INST", "OBJ", "NEWOBJ_EX", "EXT1", "EXT2", "EXT4", "PERSID", "BINPERSID"}


def read_hdf(path: Path) -> pd.DataFrame:
    """Read the one table of a file.

    Raises
    ------
    LabelError
        If there is none, it is damaged, or it holds more than data.
    MissingExtraError
        If PyTables or h5py is not installed.
    """
    try:
        import h5py
        import pandas as pd
        import tables  # noqa: F401 - pandas says less clearly that it is missing
    except ModuleNotFoundError as error:
        raise MissingExtraError("reading DeepLabCut's HDF5", "deeplabcut") from error
    try:
        with h5py.File(path, "r") as file:
            key = _checked_key(file, path)
        table = pd.read_hdf(path, key=key)
    except LabelError:
        raise
    except Exception as error:  # h5py, PyTables and pandas raise many things on damaged files
        raise LabelError(f"cannot be read as DeepLabCut's HDF5 ({error})", path=path) from error
    if not isinstance(table, pd.DataFrame):
        raise LabelError("does not hold a table", path=path)
    return table


def write_hdf(
    path: Path,
    levels: Sequence[str],
    columns: Sequence[tuple[str, ...]],
    index: Sequence[str] | Sequence[int],
    values: Sequence[Sequence[float]],
) -> None:
    """Write a table under DeepLabCut's key, atomically.

    Raises
    ------
    MissingExtraError
        If PyTables is not installed.
    """
    import pandas as pd

    try:
        import tables  # noqa: F401 - pandas says less clearly that it is missing
    except ModuleNotFoundError as error:
        raise MissingExtraError("writing DeepLabCut's HDF5", "deeplabcut") from error
    table = pd.DataFrame(
        [list(row) for row in values],
        index=pd.Index(list(index)),
        columns=pd.MultiIndex.from_tuples(list(columns), names=list(levels)),
        dtype=float,
    )
    with atomic_path(path) as temporary:
        # pandas 2, which DeepLabCut has, cannot read the other format ("table") of pandas 3
        table.to_hdf(temporary, key=KEYS[0], mode="w", format="fixed")


def _checked_key(file: Any, path: Path) -> str:
    """Return where the table is in a file that holds nothing but data."""
    key = next((key for key in KEYS if key in file), None)
    if key is None:
        said = ", ".join(file) or "nothing"
        raise LabelError(f"holds {said} in place of {' or '.join(KEYS)}", path=path)
    for where, pickled in _pickles(file):
        if call := _harmful(pickled):
            raise LabelError(
                f"{where} holds a program ({call}) in place of data and is not opened", path=path
            )
    return key


def _pickles(file: Any) -> Iterator[tuple[str, bytes]]:
    """Yield place and bytes of all that PyTables would unpickle: attributes, object arrays."""
    nodes: list[tuple[str, Any]] = [("/", file)]
    file.visititems(lambda name, node: nodes.append((f"/{name}", node)))
    for name, node in nodes:
        for attribute, value in node.attrs.items():
            raw = value.tobytes() if hasattr(value, "tobytes") else value
            raw = raw.encode("latin-1", "replace") if isinstance(raw, str) else raw
            if isinstance(raw, bytes) and raw.rstrip(b"\0").endswith(b"."):
                yield f"{name}@{attribute}", raw
        if node.attrs.get("PSEUDOATOM", b"") in (b"object", "object"):
            yield from ((name, bytes(row.tobytes())) for row in node)


def _harmful(pickled: bytes) -> str | None:
    """Return what a pickle would call on beyond the harmless, without running any of it."""
    texts: list[str | None] = [None, None]  # the last things put down, where they are texts
    remembered: dict[int, str | None] = {}
    try:
        for operation, argument, _ in pickletools.genops(pickled):
            name = operation.name
            if name in _HIDDEN_CALLS:
                return name
            if name == "MEMOIZE" or "PUT" in name:
                remembered[len(remembered) if argument is None else int(str(argument))] = texts[-1]
                continue
            call = None
            if name == "GLOBAL":
                call = str(argument)
            elif name == "STACK_GLOBAL":
                call = f"{texts[-2]} {texts[-1]}"
            if call is not None and call not in _HARMLESS:
                return call
            if "GET" in name:
                texts.append(remembered.get(int(str(argument))))
            else:
                texts.append(argument if "UNICODE" in name else None)
    except Exception:  # not a pickle: PyTables takes it as the text that it is
        return None
    return None
