"""Published networks are fetched from a server on this computer that answers as OSF does.

Its answers have the shape that OSF documents; the real addresses are not tried.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from osf_server import NAME, Server, remote_at, serving

from napari_deepmtj.core.jobs import Done, Failed, Notice, Progress
from napari_deepmtj.errors import DeepMTJError, WeightsError
from napari_deepmtj.weights.download import RECORD, Imported, download, import_file
from napari_deepmtj.weights.remote import REMOTES, Remote, choose, osf_files
from napari_deepmtj.weights.store import MODELS_VARIABLE, load_model, resolve_model

pytest.importorskip("h5py", reason="the extra h5 is not installed")

CHECKPOINT = (Path(__file__).parent / "keras" / "attention-unet.h5").read_bytes()


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as made:
        yield made


@pytest.fixture
def remote(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Remote:
    monkeypatch.setenv(MODELS_VARIABLE, str(tmp_path / "models"))
    made = remote_at(server)
    monkeypatch.setitem(REMOTES, made.id, made)
    return made


@pytest.fixture
def published(server: Server, remote: Remote) -> Remote:
    """OSF has the network in a folder, on a second page, with its hash."""
    folder = {
        "attributes": {"name": "models", "kind": "folder", "size": None},
        "relationships": {"files": {"links": {"related": {"href": server.url + "/v2/folder/"}}}},
        "links": {},
    }
    top = remote.listing.removeprefix(server.url)
    server.say(top, [folder, server.item("testset.zip", "/zip")], server.url + "/v2/page2")
    server.say("/v2/page2", [server.item("readme.txt", "/readme")])
    digest = hashlib.sha256(CHECKPOINT).hexdigest()
    server.say("/v2/folder/", [server.item(NAME, "/download/net", digest)])
    server.files["/download/net"] = CHECKPOINT
    return remote


def run(remote: Remote, **more: Any) -> tuple[Imported | DeepMTJError, list[str]]:
    *events, last = download(remote, **more)
    told = [e.message for e in events if isinstance(e, Notice)]
    if isinstance(last, Failed):
        return last.error, told
    assert isinstance(last, Done)
    assert any(isinstance(e, Progress) for e in events)
    return last.result, told


def files(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in (tmp_path / "models").iterdir())


def test_a_published_network_is_fetched_and_becomes_a_model(
    published: Remote, tmp_path: Path
) -> None:
    found, told = run(published)
    assert isinstance(found, Imported)
    assert found.first_use
    assert told == []
    assert files(tmp_path) == ["deepmtj-2021.safetensors", RECORD]
    card = load_model("deepmtj-2021").card
    assert (card.licence, card.version) == ("CC-BY-4.0", "2021")
    assert card.made_with["file_sha256"] == hashlib.sha256(CHECKPOINT).hexdigest()
    assert card.made_with["fetched_from"].endswith("/download/net")
    again, _ = run(published)
    assert isinstance(again, WeightsError)
    assert "there is such a model already" in str(again)
    again, _ = run(published, overwrite=True)
    assert isinstance(again, Imported)
    assert not again.first_use


def test_the_address_of_the_authors_program_is_the_second_source(
    server: Server, remote: Remote
) -> None:
    server.files["/direct/" + NAME] = CHECKPOINT
    found, (told,) = run(remote)
    assert isinstance(found, Imported)
    assert "answers 404" in told
    assert resolve_model("deepmtj-2021") == found.path


def test_a_changed_file_is_refused_until_it_is_trusted(
    server: Server, remote: Remote, tmp_path: Path
) -> None:
    server.files["/direct/" + NAME] = CHECKPOINT
    first, _ = run(remote)
    assert isinstance(first, Imported)
    before = first.path.read_bytes()
    server.files["/direct/" + NAME] = CHECKPOINT + b"0"
    error, _ = run(remote, overwrite=True)
    assert "was " + hashlib.sha256(CHECKPOINT).hexdigest() in str(error)
    assert "--trust-new" in str(error)
    assert first.path.read_bytes() == before
    by_hand = tmp_path / "brought.h5"
    by_hand.write_bytes(CHECKPOINT + b"0")
    with pytest.raises(WeightsError, match="another file"):
        import_file(by_hand, "deepmtj-2021", overwrite=True)
    trusted, _ = run(remote, overwrite=True, trust_new=True)
    assert isinstance(trusted, Imported)
    assert import_file(by_hand, "deepmtj-2021", overwrite=True).card.licence == "CC-BY-4.0"


def test_what_the_server_says_is_another_hash_is_not_kept(
    server: Server, published: Remote, tmp_path: Path
) -> None:
    server.files["/download/net"] = CHECKPOINT[:-1] + b"0"
    error, told = run(published)
    assert isinstance(error, WeightsError)
    assert "the server says" in told[0]
    assert files(tmp_path) == []


def test_a_broken_connection_is_resumed(server: Server, published: Remote, tmp_path: Path) -> None:
    server.limit = 100_000
    error, told = run(published)
    assert "the connection broke after 0.1 of 0.3 MB" in told[0]
    assert "without internet here, open https://osf.io/wgy4d/" in str(error)
    assert "weights import FILE --id deepmtj-2021" in str(error)
    assert any(name.endswith(".part") for name in files(tmp_path))
    server.limit = None
    found, _ = run(published)
    assert isinstance(found, Imported)
    assert server.ranges == [None, "bytes=100000-"]
    assert files(tmp_path) == ["deepmtj-2021.safetensors", RECORD]


def test_another_file_is_not_appended_to_the_first(server: Server, remote: Remote) -> None:
    server.files["/direct/" + NAME] = b"x" * 200_000
    server.limit = 100_000
    run(remote)
    server.limit, server.files["/direct/" + NAME] = None, CHECKPOINT
    found, _ = run(remote)
    assert isinstance(found, Imported)


def test_a_file_that_was_whole_already_is_fetched_anew(
    server: Server, remote: Remote, tmp_path: Path
) -> None:
    server.files["/direct/" + NAME] = CHECKPOINT
    job = download(remote)
    while not isinstance(next(job), Progress):
        pass
    job.close()  # cancelled; of so small a file everything is there
    assert any(name.endswith(".part") for name in files(tmp_path))
    found, _ = run(remote)
    assert isinstance(found, Imported)


def test_no_network_says_what_to_do(remote: Remote, monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere = "http://127.0.0.1:9/v2/"
    gone = replace(remote, listing=nowhere, direct=nowhere)
    error, _ = run(gone)
    assert "127.0.0.1:9 cannot be reached" in str(error)
    assert "without internet here" in str(error)


def test_a_full_disk_is_said_before_anything_is_fetched(
    server: Server, remote: Remote, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    server.files["/direct/" + NAME] = CHECKPOINT
    usage = type("usage", (), {"free": 1000})
    monkeypatch.setattr("napari_deepmtj.weights.download.shutil.disk_usage", lambda _: usage)
    error, _ = run(remote)
    assert "MB are needed" in str(error)
    assert not any(name.endswith(".safetensors") for name in files(tmp_path))


def test_which_file_is_meant_must_be_clear(server: Server, published: Remote) -> None:
    found = osf_files(published.listing)
    assert [file.name for file in found] == ["testset.zip", NAME, "readme.txt"]
    assert choose(found).name == NAME
    assert choose(found, "readme.txt").url.endswith("/readme")
    with pytest.raises(WeightsError, match="2 could be meant by a file of Keras; say --file"):
        choose([*found, found[1]])
    with pytest.raises(WeightsError, match=r"there is not 'x.h5'; say --file .*testset.zip"):
        choose(found, "x.h5")
    for answer in (b"<html>", b"[]", b'{"data": [{}], "links": {}}', b'{"data": 3}'):
        server.files["/v2/odd"] = answer
        with pytest.raises(WeightsError, match="answer"):
            osf_files(server.url + "/v2/odd")
    for address in ("file:///etc/passwd", "http://osf.io/x"):
        with pytest.raises(WeightsError, match="no https address of a server"):
            osf_files(address)


def test_nobody_leads_away_from_encryption(server: Server, remote: Remote) -> None:
    server.files["/direct/" + NAME] = CHECKPOINT
    server.leads_to = "http://osf.invalid/x"
    server.files["/x"] = CHECKPOINT
    error, told = run(remote)
    assert isinstance(error, WeightsError)
    assert "is no https address" in told[-1]
    server.leads_to = server.url + "/x"
    found, _ = run(remote)
    assert isinstance(found, Imported)


def test_another_part_than_was_asked_for_is_not_appended(
    server: Server, published: Remote, tmp_path: Path
) -> None:
    server.limit = 100_000
    run(published)
    server.limit, server.shift = None, 1
    error, told = run(published)
    assert isinstance(error, WeightsError)
    assert "another part than was asked for" in told[0]
    assert not any(name.endswith(".part") for name in files(tmp_path))


def test_another_network_is_not_taken_for_the_published_one(remote: Remote, tmp_path: Path) -> None:
    path = Path(__file__).parent / "keras" / "vgg16.h5"
    with pytest.raises(WeightsError, match="is a network 'vgg16', and deepmtj-2021 is 'attention"):
        import_file(path, "deepmtj-2021")
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize("name", ["../x", "", "a/b", "compact", "-x"])
def test_ids_that_cannot_be(remote: Remote, tmp_path: Path, name: str) -> None:
    (tmp_path / "x.h5").write_bytes(CHECKPOINT)
    with pytest.raises(WeightsError, match="--id"):
        import_file(tmp_path / "x.h5", name)
