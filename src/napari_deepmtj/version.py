"""The version of this package, below everything that writes it into files."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("napari-deepmtj")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0.0.0"
