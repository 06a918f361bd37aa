"""What is known of public real pictures that the bundled models learned from.

The pictures themselves are no part of this package; docs/explanation/model.md names them.
"""

from __future__ import annotations

from typing import Any

#: Arguments of `real.find_real` for those pictures: (width, height) of a screen tells the scanner.
#: Scales were read from rulers; a curve is drawn over the pictures left out; frames in which two
#: aponeuroses of soleus meet in a "Y" are shown as they are, as pictures without an MTJ; one
#: scanner (800 x 652) is for development only.
REAL_TRAIN: dict[str, Any] = {
    "leave_out": tuple(f"img_{number:05d}" for number in range(347, 354)),
    "no_wedge": tuple(
        f"img_{number:05d}" for number in (52, 62, 136, 153, 189, 237, 239, 277, 282, 286)
    ),
    "scales": {(660, 556): 1 / 7.7, (800, 652): 1 / 9.4, (800, 600): 1 / 9.1},
    "trims": {(660, 556): 18},
    "held_out": ((800, 652),),
}
