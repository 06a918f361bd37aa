"""One clip from its frames to its files, and the same again from its provenance."""
