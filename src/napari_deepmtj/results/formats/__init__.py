"""Results for other programs: one table of formats that command line and napari both offer.

Each format writes a `Trajectory` and reads back `Track`s. Label files are `labels.formats`; videos
and reports are `report`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from napari_deepmtj.core.paths import CSV_SUFFIX
from napari_deepmtj.core.trajectory import Trajectory
from napari_deepmtj.errors import ResultError
from napari_deepmtj.results.formats import c3d, deeplabcut, netcdf, opensim, tidy, trc
from napari_deepmtj.results.formats.track import INTERPOLATIONS, UNITS, Options, Track, resampled

__all__ = [
    "FORMATS",
    "INTERPOLATIONS",
    "UNITS",
    "Format",
    "Options",
    "Track",
    "default_path",
    "read",
    "resampled",
    "write",
]

One = Callable[[Trajectory, str | Path, Options], tuple[str, ...]]
Several = Callable[[Sequence[Trajectory], str | Path, Options], tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Format:
    """A kind of file that results can be exported to.

    Parameters
    ----------
    key : str
        What the command line calls it.
    title : str
        What a menu calls it.
    ending : str
        What follows the clip's name in the file's.
    read : callable
        From a path to one `Track` for each point in the file.
    write : callable or None
        Of one clip.
    write_several : callable or None
        Of several clips into one file, where the format can.
    """

    key: str
    title: str
    ending: str
    read: Callable[[str | Path], tuple[Track, ...]]
    write: One | None = None
    write_several: Several | None = None

    @property
    def suffix(self) -> str:
        """The file's extension, ".csv"."""
        return "." + self.ending.rpartition(".")[2]


#: Every format by its key, in the order in which they are offered.
FORMATS: dict[str, Format] = {
    f.key: f
    for f in (
        Format("tidy", "Tidy CSV", "-tidy.csv", tidy.read, write_several=tidy.write),
        Format("netcdf", "movement netCDF", ".nc", netcdf.read, netcdf.write),
        Format(
            "dlc-csv",
            "DeepLabCut predictions, CSV",
            "DLC_napari-deepmtj.csv",
            deeplabcut.read,
            deeplabcut.write,
        ),
        Format(
            "dlc-h5",
            "DeepLabCut predictions, HDF5",
            "DLC_napari-deepmtj.h5",
            deeplabcut.read,
            deeplabcut.write,
        ),
        Format("sto", "OpenSim .sto", ".sto", opensim.read, opensim.write),
        Format("mot", "OpenSim .mot", ".mot", opensim.read, opensim.write),
        Format("mot-us", "OpenSim .mot, older dialect", "_US.mot", opensim.read, opensim.write_old),
        Format("trc", "OpenSim markers .trc", ".trc", trc.read, trc.write),
        Format("c3d", "C3D", ".c3d", c3d.read, c3d.write),
    )
}


def write(
    trajectories: Trajectory | Sequence[Trajectory],
    path: str | Path,
    key: str,
    options: Options | None = None,
) -> tuple[str, ...]:
    """Write results in a format, atomically; an existing file is replaced.

    Parameters
    ----------
    trajectories : Trajectory or sequence of Trajectory
        One, or several where the format holds them.
    path : str or Path
        The file.
    key : str
        One of `FORMATS`.
    options : Options or None
        Unit, rate, and what is done with gaps.

    Returns
    -------
    tuple of str
        What a person must be told: what was changed or could not be held.

    Raises
    ------
    ResultError
        If the format cannot hold it, or the file is not called like one; the message says what to
        do.
    MissingExtraError
        If the format needs a package that is not installed.
    """
    form, options = _format(key), options or Options()
    require_suffix(path, form.title, (form.suffix,))
    given = [trajectories] if isinstance(trajectories, Trajectory) else list(trajectories)
    if form.write_several is not None and given:
        return form.write_several(given, path, options)
    if form.write is None or len(given) != 1:
        raise ResultError(f"a file of {form.title} is of one clip, not of {len(given)}")
    return form.write(given[0], path, options)


def read(path: str | Path, key: str) -> tuple[Track, ...]:
    """Read a file of a format, one track for each clip or point in it.

    Raises
    ------
    DeepMTJError
        If it is not of that format, or damaged.
    """
    return _format(key).read(path)


def require_suffix(path: str | Path, title: str, suffixes: Sequence[str]) -> None:
    """Raise ResultError if a file is called like one of another format than it is to have."""
    path = Path(path)
    if path.suffix.lower() not in suffixes:
        raise ResultError(
            f"is no name of a file of {title}; end it with {' or '.join(suffixes)}, or choose "
            "another format",
            path=path,
        )


def default_path(result: str | Path, key: str, folder: str | Path | None = None) -> Path:
    """Return where a result (`.mtj.csv`) is exported to: beside it, or into a folder."""
    result, form = Path(result), _format(key)
    stem = result.name.removesuffix(CSV_SUFFIX)
    stem = stem if stem != result.name else result.stem
    return (result.parent if folder is None else Path(folder)) / (stem + form.ending)


def _format(key: str) -> Format:
    if key not in FORMATS:
        raise ResultError(f"the format {key!r} is unknown; choose {', '.join(FORMATS)}")
    return FORMATS[key]
