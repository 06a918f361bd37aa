"""What can be chosen by name in the mechanics; nothing is computed, and nothing loaded, here."""

from __future__ import annotations

from enum import StrEnum


class Muscle(StrEnum):
    """A head of the triceps surae."""

    MEDIAL_GASTROCNEMIUS = "medial gastrocnemius"
    LATERAL_GASTROCNEMIUS = "lateral gastrocnemius"
    SOLEUS = "soleus"


class MtuModel(StrEnum):
    """Whose prediction of the muscle-tendon unit's length; `mtu` has the sources."""

    HAWKINS_HULL = "hawkins-hull"
    GRIEVE = "grieve"
