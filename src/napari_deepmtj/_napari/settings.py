"""The plugin's page in napari's preferences, as a plain record. The fields are in the manifest."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

PLUGIN = "napari-deepmtj"
#: Key of the one configuration in the manifest.
PAGE = "tracking"


@dataclass(frozen=True, slots=True)
class Settings:
    """What a person prefers; the manifest has the same names and defaults.

    Parameters
    ----------
    model : str
        Id or file of the network that the Track widget starts with.
    device : str
        auto, cuda, mps or cpu.
    roi : str
        "auto", "full" or "preset:NAME".
    annotator : str
        Who corrects and labels; empty is nobody.
    output_folder : str
        Where "save" dialogs start; empty is beside the clip.
    """

    model: str = "compact"
    device: str = "auto"
    roi: str = "auto"
    annotator: str = ""
    output_folder: str = ""

    def folder_for(self, clip: Path | None) -> Path:
        """Return the folder in which results of a clip are saved by default."""
        if self.output_folder:
            return Path(self.output_folder).expanduser()
        return Path.home() if clip is None else clip.parent


def read_settings() -> Settings:
    """Return the present settings."""
    from napari.settings import get_plugin_settings

    page = getattr(get_plugin_settings(PLUGIN), PAGE)
    return Settings(**{f.name: getattr(page, f.name) for f in fields(Settings)})
