"""The laws of docs/develop/architecture.md, held by reading the imports of every module."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import napari_deepmtj

PACKAGE = "napari_deepmtj"
SOURCE = Path(napari_deepmtj.__file__).parent
MAX_LINES = 600

#: Room -> the rooms it is built on. A room may import those and whatever they are built on.
ARROWS: dict[str, set[str]] = {
    "version": set(),
    "errors": set(),
    "core": {"errors", "version"},
    "video": {"core"},
    "labels": {"video"},
    "results": {"video", "labels"},
    "calibration": {"video"},
    "phantom": {"video", "labels"},
    "annotation": {"results"},
    "tracking": {"video"},
    "mechanics": {"results", "tracking"},
    "networks": {"errors"},
    "weights": {"core", "networks"},
    "inference": {"video", "calibration", "phantom", "weights"},
    "evaluation": {"labels", "mechanics", "inference"},
    "training": {"labels", "phantom", "inference", "evaluation"},
    "report": {"evaluation"},
    "pipeline": {"inference", "report"},
    "batch": {"pipeline"},
    "cli": {"batch", "training", "phantom", "annotation"},
    "_napari": {"batch", "training", "phantom", "annotation"},
}

#: Outside package -> the only rooms that may import it.
OWNERS: dict[str, set[str]] = {
    **{name: {"_napari"} for name in ("napari", "qtpy", "magicgui", "superqt", "PySide6", "PyQt6")},
    "torch": {"phantom", "networks", "weights", "training", "inference"},
    **{name: {"video"} for name in ("av", "pydicom", "imagecodecs", "zarr")},
    "tifffile": {"video", "results"},
    "h5py": {"video", "labels", "weights"},
    **{name: {"labels"} for name in ("tables", "sleap_io")},
    **{name: {"results", "mechanics"} for name in ("ezc3d", "xarray", "movement")},
    "cv2": {"tracking"},
    **{name: {"batch"} for name in ("distributed", "dask_jobqueue")},
    **{name: {"evaluation"} for name in ("pingouin", "statsmodels")},
    "onnxruntime": {"inference"},
    "onnx": {"weights"},
    "matplotlib": {"report", "_napari"},
    "pickle": set(),
}


def below(room: str) -> set[str]:
    """Every room that `room` is built on, directly or not."""
    rooms = set(ARROWS[room])
    for lower in ARROWS[room]:
        rooms |= below(lower)
    return rooms


def imports(module: str, tree: ast.AST, *, is_package: bool = False) -> Iterator[tuple[int, str]]:
    """Yield line and absolute name of everything a module imports, wherever it does."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = module.split(".")
            if node.level:
                parents = parents[: len(parents) - node.level + is_package]
            base = [*(parents if node.level else []), *(node.module or "").split(".")]
            for alias in node.names:
                yield node.lineno, ".".join([*filter(None, base), alias.name])
        elif (
            isinstance(node, ast.Call)
            and getattr(node.func, "attr", getattr(node.func, "id", "")) == "import_module"
            and node.args
            and isinstance(node.args[0], ast.Constant)
        ):
            yield node.lineno, str(node.args[0].value)


def room_of(module: str) -> str | None:
    """Return the room of a module's full name; None for the package itself."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and parts[1] in ARROWS else None


def broken_laws(module: str, source: str, *, is_package: bool = False) -> list[str]:
    """Return one line for each law that a module breaks."""
    room = room_of(module)
    assert room is not None, f"{module} lies in no room of ARROWS"
    broken = []
    lines = len(source.splitlines())
    if lines > MAX_LINES:
        broken.append(f"{module} has {lines} lines, more than {MAX_LINES}")
    for line, name in imports(module, ast.parse(source), is_package=is_package):
        top = name.split(".")[0]
        if top == PACKAGE:
            other = room_of(name)
            if other is None:
                broken.append(f"{module}:{line} imports {name} past its room")
            elif other not in {None, room} | below(room):
                broken.append(f"{module}:{line} imports {other}, which is not below {room}")
        elif top in OWNERS and room not in OWNERS[top]:
            broken.append(f"{module}:{line} imports {top}; only {sorted(OWNERS[top])} may")
    return broken


def modules() -> list[tuple[str, Path]]:
    """Return the full name and file of every module but the package's own `__init__`."""
    found = []
    for path in sorted(SOURCE.rglob("*.py")):
        parts = [PACKAGE, *path.relative_to(SOURCE).with_suffix("").parts]
        if parts[-1] == "__init__":
            parts.pop()
        if len(parts) > 1:
            found.append((".".join(parts), path))
    return found


@pytest.mark.parametrize(("module", "path"), modules(), ids=[name for name, _ in modules()])
def test_module_keeps_the_laws(module: str, path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    assert broken_laws(module, source, is_package=path.name == "__init__.py") == []


def imported_modules(names: set[str], module: str, source: str, *, package: bool) -> set[str]:
    """Return which of `names` a module imports, wherever it does."""
    wanted = set()
    for _, name in imports(module, ast.parse(source), is_package=package):
        while name not in names and "." in name:
            name = name.rpartition(".")[0]
        if name in names and name != module:
            wanted.add(name)
    return wanted


def test_no_module_imports_itself_by_way_of_others() -> None:
    """Imports in functions and for type checking count: a circle is a circle to who reads."""
    files = dict(modules())
    graph = {
        module: imported_modules(
            set(files),
            module,
            path.read_text(encoding="utf-8"),
            package=path.name == "__init__.py",
        )
        for module, path in files.items()
    }
    assert sum(map(len, graph.values())) > 500, "the imports were not found"
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_the_check_for_circles_sees_an_import_in_a_function() -> None:
    names = {f"{PACKAGE}.core.a", f"{PACKAGE}.core.b"}
    source = f"def f():\n    from {PACKAGE}.core.b import g"
    assert imported_modules(names, f"{PACKAGE}.core.a", source, package=False) == {
        f"{PACKAGE}.core.b"
    }


def test_every_room_that_exists_is_in_the_table() -> None:
    rooms = {name.split(".")[1] for name, _ in modules()}
    assert rooms <= set(ARROWS)
    assert len(rooms) >= 10, "the modules were not found"


@pytest.mark.parametrize(
    ("module", "source", "complaint"),
    [
        ("core.x", "from napari_deepmtj.video.opening import open_video", "imports video"),
        ("core.x", "def f():\n    import napari_deepmtj.video.opening", "core.x:2 imports video"),
        ("core.x", "from ..video import opening", "imports video"),
        ("video.x", "from napari_deepmtj import tracking", "imports tracking"),
        ("cli.x", "from napari_deepmtj._napari import reader", "imports _napari"),
        ("_napari.x", "from napari_deepmtj.cli import app", "imports cli"),
        ("core.x", "from napari_deepmtj import open_video", "past its room"),
        ("report.x", "from napari.layers import Points", "imports napari"),
        ("cli.x", "from qtpy.QtCore import Qt", "imports qtpy"),
        ("evaluation.x", "import torch.nn.functional as F", "imports torch"),
        ("report.x", "if TYPE_CHECKING:\n    import av", "report.x:2 imports av"),
        ("evaluation.x", "importlib.import_module('tifffile')", "imports tifffile"),
        ("inference.x", "import cv2", "imports cv2"),
        ("weights.x", "import pickle", "imports pickle"),
        ("core.x", "#\n" * 601, "601 lines"),
    ],
)
def test_the_checker_sees_what_breaks_a_law(module: str, source: str, complaint: str) -> None:
    broken = broken_laws(f"{PACKAGE}.{module}", source)
    assert len(broken) == 1
    assert complaint in broken[0]


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("core.x", "from napari_deepmtj.errors import DeepMTJError\nfrom . import geometry"),
        ("core.x", "from napari_deepmtj.version import __version__\nimport numpy"),
        ("training.x", "import torch\nfrom napari_deepmtj.networks.interface import NetworkOutput"),
        ("_napari.tracking.x", "from napari_deepmtj._napari.viewer.jobs import f\nimport napari"),
        ("video.x", "def f():\n    import av"),
        ("core.x", "#\n" * 600),
    ],
)
def test_the_checker_lets_the_rest_pass(module: str, source: str) -> None:
    assert broken_laws(f"{PACKAGE}.{module}", source) == []


def test_a_relative_import_in_a_package_starts_at_the_package() -> None:
    tree = ast.parse("from . import track")
    found = list(imports(f"{PACKAGE}.cli", tree, is_package=True))
    assert found == [(1, f"{PACKAGE}.cli.track")]


HEAVY = (
    "torch",
    "qtpy",
    "PySide6",
    "PyQt6",
    "av",
    "tifffile",
    "pydicom",
    "zarr",
    "matplotlib",
    "napari",
)


def loaded_by(statement: str, among: tuple[str, ...] = HEAVY) -> set[str]:
    """Return which of some packages a fresh interpreter has loaded after `statement`."""
    code = f"import sys\n{statement}\nprint(*(m for m in {among} if m in sys.modules))"
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120
    )
    assert run.returncode == 0, run.stderr
    return set(run.stdout.split())


def test_the_check_of_loaded_packages_sees_one() -> None:
    assert "matplotlib" in loaded_by("import matplotlib")


def test_importing_the_package_loads_nothing_heavy() -> None:
    assert loaded_by("import napari_deepmtj; dir(napari_deepmtj)") == set()


@pytest.mark.parametrize(
    "module",
    [
        "core.trajectory",
        "core.labels",
        "labels.table",
        "labels.store",
        "results.trajectory_file",
        "video.opening",
        "annotation.session",
        "annotation.informativeness",
        "tracking.gate",
        "tracking.smooth",
        "mechanics.motion",
    ],
)
def test_reading_rooms_load_no_torch_and_no_qt(module: str) -> None:
    assert loaded_by(f"import napari_deepmtj.{module}") == set()


@pytest.mark.parametrize("module", ["contributions.reader", "annotation.widget"])
def test_reading_and_annotating_load_no_torch(module: str) -> None:
    assert "torch" not in loaded_by(f"import napari_deepmtj._napari.{module}")


def test_the_form_for_tracking_loads_nothing_that_takes_long() -> None:
    slow = ("torch", "scipy.ndimage", "pandas", "av")
    assert loaded_by("import napari_deepmtj._napari.tracking.widget", slow) == set()


def test_tracking_on_a_cpu_loads_neither_torch_nor_parts_of_scipy(tmp_path: Path) -> None:
    """From a file to a table, by the command that users call; either is most of a start."""
    Image.fromarray(np.zeros((64, 128), np.uint8)).save(tmp_path / "still.png")
    arguments = ["track", str(tmp_path / "still.png"), "--roi", "full", "--device", "cpu"]
    statement = (
        "from napari_deepmtj.cli.app import main\n"
        f"sys.argv[1:] = {arguments}\n"
        "try:\n    main()\n"
        "except SystemExit as end:\n    assert not end.code, end.code"
    )
    slow = ("torch", "scipy.signal", "scipy.ndimage", "matplotlib")
    assert not loaded_by(statement, slow).intersection(slow)  # what it prints is there, too
    assert (tmp_path / "still.mtj.csv").exists()


def test_loading_the_manifest_loads_none_of_our_modules() -> None:
    statement = (
        "from npe2 import PluginManifest\n"
        "m = PluginManifest.from_distribution('napari-deepmtj')\n"
        "assert m.contributions.readers\n"
        "ours = [k for k in sys.modules if k.startswith('napari_deepmtj.')]\n"
        "assert not ours, ours"
    )
    assert "torch" not in loaded_by(statement)
