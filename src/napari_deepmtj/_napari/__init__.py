"""The plugin's window: readers, layers, widgets and what belongs to one viewer.

Whatever of it is imported first, `features` connects every session to its features.
"""

from napari_deepmtj._napari import features as features
