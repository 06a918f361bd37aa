"""Published networks are fetched from a server on this computer that answers as OSF does.

Its answers have the shape that OSF documents; the real addresses are not tried.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from napari_deepmtj.core.jobs import Done, Failed, Notice, Progress
from napari_deepmtj.errors import DeepMTJError, WeightsError
from napari_deepmtj.weights.download import RECORD, Imported, download, import_file
from napari_deepmtj.weights.remote import REMOTES, Remote, choose, osf_files
from napari_deepmtj.weights.store import MODELS_VARIABLE, load_model, resolve_model

pytest.importorskip("h5py", reason="the extra h5 is not installed")

CHECKPOINT = (Path(__file__).parent / "keras" / "attention-unet.h5").read_bytes()
NAME = "2021_Unet.tf"


class Server(ThreadingHTTPServer):
    """Answers with what is in `files`; breaks off after `limit` bytes; notes ranges asked for.

    Where it goes on it says that it does so `shift` bytes further on; direct addresses lead on to
    `leads_to`.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.files: dict[str, bytes] = {}
        self.limit: int | None = None
        self.shift = 0
        self.leads_to = ""
        self.ranges: list[str | None] = []

    def say(self, path: str, data: list[dict[str, Any]], following: str | None = None) -> None:
        """Answer as OSF's API lists files."""
        answer = {"data": data, "links": {"next": following, "prev": None}, "meta": {}}
        self.files[path] = json.dumps(answer).encode()

    def item(self, name: str, path: str, sha256: str | None = None) -> dict[str, Any]:
        hashes = {} if sha256 is None else {"sha256": sha256, "md5": "0" * 32}
        return {
            "id": "5f", "type": "files",
            "attributes": {"name": name, "kind": "file", "size": 1, "extra": {"hashes": hashes}},
            "links": {"download": self.url + path, "self": ""},
        }  # fmt: skip


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        if self.server.leads_to and self.path.startswith("/direct"):
            self.send_response(302)
            self.send_header("Location", self.server.leads_to)
            self.end_headers()
            return
        content = self.server.files.get(self.path)
        if content is None:
            self.send_error(404)
            return
        start, tag = 0, f'"{hashlib.md5(content).hexdigest()}"'
        asked = self.headers.get("Range")
        if not self.path.startswith("/v2"):
            self.server.ranges.append(asked)
        if asked and self.headers.get("If-Range") == tag:
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
            if start >= len(content):
                self.send_error(416)
                return
        self.send_response(206 if start else 200)
        if start:
            said = start + self.server.shift
            self.send_header("Content-Range", f"bytes {said}-{len(content) - 1}/{len(content)}")
        self.send_header("ETag", tag)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        end = None if self.server.limit is None else start + self.server.limit
        self.wfile.write(content[start:end])

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as made:
        thread = threading.Thread(target=made.serve_forever, args=(0.01,))
        thread.start()
        yield made
        made.shutdown()
        thread.join()


@pytest.fixture
def remote(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Remote:
    monkeypatch.setenv(MODELS_VARIABLE, str(tmp_path / "models"))
    made = Remote(
        "deepmtj-2021", "attention-unet", "a network", "10.1/x", "CC-BY-4.0", "https://osf.io/wgy4d/",
        server.url + "/v2/nodes/wgy4d/files/osfstorage/", server.url + "/direct/" + NAME,
    )  # fmt: skip
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
