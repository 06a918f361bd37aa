"""Video containers through PyAV, with an index of their frames."""
