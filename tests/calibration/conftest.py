"""Real recordings for these tests, which skip where they are absent."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real() -> Path:
    folder = Path(__file__).parents[3] / "shared/data/real"
    if not folder.is_dir():
        pytest.skip(f"no real recordings at {folder}")
    return folder
