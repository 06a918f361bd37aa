"""_napari room; see docs/architecture.md."""
