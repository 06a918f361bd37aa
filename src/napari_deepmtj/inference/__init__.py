"""From the frames of a clip to where the MTJ is in each of them.

The networks themselves are in `networks`, their weights in `weights`.
"""
