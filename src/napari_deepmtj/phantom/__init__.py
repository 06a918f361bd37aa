"""A synthetic B-mode calf whose MTJ is known exactly: test, demonstration and training data."""

from __future__ import annotations

from napari_deepmtj.phantom.cohort import (
    PhantomClip,
    Subject,
    demo_clip,
    subjects,
    write_clip,
    write_cohort,
)

__all__ = ["PhantomClip", "Subject", "demo_clip", "subjects", "write_clip", "write_cohort"]
