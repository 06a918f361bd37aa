"""Sample data: the moving phantom, whose junction is known exactly."""

from __future__ import annotations

from napari_deepmtj._napari.contributions.reader import source_layer
from napari_deepmtj._napari.layers.convert import LayerTuple


def moving_phantom() -> list[LayerTuple]:
    """Return a synthetic clip of a calf moving, rendered frame by frame as it is looked at."""
    from napari_deepmtj.phantom import demo_clip

    return [source_layer(demo_clip())]
