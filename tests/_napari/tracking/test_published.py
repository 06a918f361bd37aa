"""The published network from the Track form, off a server on this computer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from osf_server import NAME, Server, remote_at, serving

from napari_deepmtj._napari.tracking import published
from napari_deepmtj.core.jobs import Progress
from napari_deepmtj.weights.download import not_fetched
from napari_deepmtj.weights.remote import REMOTES, Remote
from napari_deepmtj.weights.store import MODELS_VARIABLE, load_model

pytest.importorskip("h5py", reason="the extra h5 is not installed")

CHECKPOINT = (Path(__file__).parents[2] / "weights" / "keras" / "attention-unet.h5").read_bytes()


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as made:
        yield made


@pytest.fixture
def remote(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_a_loop: Any
) -> Remote:
    monkeypatch.setattr(published, "Job", in_a_loop)
    monkeypatch.setenv(MODELS_VARIABLE, str(tmp_path / "models"))
    monkeypatch.setitem(REMOTES, "deepmtj-2021", remote_at(server))
    return REMOTES["deepmtj-2021"]


def test_it_is_fetched_checked_and_chosen(server: Server, remote: Remote, session: Any) -> None:
    server.files["/direct/" + NAME] = CHECKPOINT
    assert not_fetched() == [remote]
    chosen: list[str] = []
    session.events.made_model.connect(chosen.append)
    published.Fetch(session, remote).start()
    assert chosen == ["deepmtj-2021"]
    assert isinstance(session.progress, Progress)
    assert session.progress.unit == "megabyte"
    assert not session.running
    assert not_fetched() == []
    assert load_model("deepmtj-2021").card.licence == "CC-BY-4.0"


def test_offline_it_says_what_to_do(server: Server, remote: Remote, session: Any) -> None:
    published.Fetch(session, remote).start()
    assert "napari-deepmtj weights import FILE --id deepmtj-2021" in session.message
    assert session.made_model == ""
    assert not_fetched() == [remote]
    assert remote.offer == "published network (TBME 2022, CC BY 4.0, 375 MB)"
