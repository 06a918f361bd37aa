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
        Who corrects and labels, for the log of a result; empty is left out.
    output_folder : str
        Where results are saved and file dialogs start; empty is beside the clip.
    autosave : bool
        Whether results are saved by themselves.
    panel_on_open : bool
        Whether the DeepMTJ panel comes with the first clip.
    backend : str
        What computes on a CPU: auto, onnxruntime or torch.
    """

    model: str = "compact"
    device: str = "auto"
    roi: str = "auto"
    annotator: str = ""
    output_folder: str = ""
    autosave: bool = True
    panel_on_open: bool = True
    backend: str = "auto"

    @property
    def folder(self) -> Path | None:
        """Where results go; None is beside their clip."""
        return Path(self.output_folder).expanduser() if self.output_folder else None


def change_setting(name: str, value: object) -> None:
    """Keep a preference; nothing happens where napari runs without this plugin."""
    from napari.settings import get_plugin_settings

    known = get_plugin_settings()
    if PLUGIN in known and getattr(getattr(known[PLUGIN], PAGE), name) != value:
        setattr(getattr(known[PLUGIN], PAGE), name, value)


def read_settings() -> Settings:
    """Return the present settings; the defaults where napari runs without this plugin."""
    from napari.settings import get_plugin_settings

    known = get_plugin_settings()
    if PLUGIN not in known:
        return Settings()
    page = getattr(known[PLUGIN], PAGE)
    known_fields = [f.name for f in fields(Settings) if hasattr(page, f.name)]
    return Settings(**{name: getattr(page, name) for name in known_fields})
