"""Label files: positions that people clicked, one a frame, or that the MTJ is not visible."""
