"""The layer schema: what a clip, its points, tracks and attention maps look like in napari."""
