"""Clips in: what kind of file it is, its frames, times, grey levels and scale."""
