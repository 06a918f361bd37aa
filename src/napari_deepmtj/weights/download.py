"""Fetching a published network: resumed where it broke off, its hash stored and ever after checked.

A network is trusted on first use: nobody published a hash to compare with beforehand, unless OSF
says one. From then on another file is refused. Where files are is `remote.py`.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import os
import re
import shutil
from collections.abc import Generator
from dataclasses import dataclass, replace
from http import HTTPStatus
from http.client import HTTPException
from pathlib import Path
from typing import Any

from napari_deepmtj.core.atomic import atomic_write
from napari_deepmtj.core.jobs import Done, Failed, Notice, Progress
from napari_deepmtj.errors import DeepMTJError, WeightsError
from napari_deepmtj.weights.cards import WeightCard
from napari_deepmtj.weights.keras_file import require_h5py
from napari_deepmtj.weights.keras_import import import_keras
from napari_deepmtj.weights.remote import REMOTES, RefusedError, Remote, RemoteFile, opened, sources
from napari_deepmtj.weights.store import bundled_folder, read_card, save_model, user_folder

#: Hashes of what was fetched, in the user's folder of models.
RECORD = "downloads.json"

#: Bytes read at a time, and more than any published network has.
CHUNK, MOST_BYTES = 1 << 20, 4_000_000_000

_MEGABYTE = 1_000_000
_SAFE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")


@dataclass(frozen=True, slots=True)
class Imported:
    """A network that was converted and saved.

    Parameters
    ----------
    card : WeightCard
        Its card.
    path : Path
        The safetensors file.
    first_use : bool
        Whether the hash of a published network was stored now, not compared.
    """

    card: WeightCard
    path: Path
    first_use: bool = False


def not_fetched() -> list[Remote]:
    """Return the published networks that are not among the user's models."""
    return [r for r in REMOTES.values() if not (user_folder() / f"{r.id}.safetensors").exists()]


def target_of(model_id: str, *, overwrite: bool = False) -> Path:
    """Return the file in the user's folder that a model of this id is saved as.

    Raises
    ------
    WeightsError
        If the id cannot name a file, is taken by a bundled model, or exists.
    """
    if not _SAFE_ID.fullmatch(model_id):
        raise WeightsError(
            f"{model_id!r} cannot be a model's id; give --id with letters, digits, '.', '_', '-'"
        )
    for path in sorted(bundled_folder().glob("*.safetensors")):
        if read_card(path).id == model_id:
            raise WeightsError(
                f"the id {model_id!r} is taken by a bundled model; give another --id"
            )
    target = user_folder() / f"{model_id}.safetensors"
    if target.exists() and not overwrite:
        raise WeightsError(
            "there is such a model already; add --overwrite or give another --id", path=target
        )
    return target


def import_file(
    path: Path, model_id: str, *, overwrite: bool = False, trust_new: bool = False, url: str = ""
) -> Imported:
    """Convert a Keras checkpoint and save it among the user's models.

    The id of a published network is given only to the file that had it at first.

    Parameters
    ----------
    path : Path
        The authors' HDF5 file.
    model_id : str
        What the model is to be called.
    overwrite : bool
        Whether an earlier model of this id is replaced.
    trust_new : bool
        Whether a changed file of a published network is accepted.
    url : str
        Where it was fetched from, if it was.

    Raises
    ------
    WeightsError
        As `target_of`, `import_keras` and `save_model`; or if the hash has changed.
    """
    target = target_of(model_id, overwrite=overwrite)
    remote = REMOTES.get(model_id)
    digest = _sha256(path)
    known = _record().get(model_id, {}).get("sha256", "")
    if remote is not None and known and known != digest and not trust_new:
        raise WeightsError(
            f"its hash is {digest}, that of {model_id} on first use was {known}; it is another "
            "file. Ask its authors why; if the change is known to be right, add --trust-new",
            path=path,
        )
    network, card = import_keras(path, model_id)
    if remote is not None and card.network != remote.network:
        raise WeightsError(
            f"is a network {card.network!r}, and {model_id} is {remote.network!r}; give another "
            "--id",
            path=path,
        )
    made_with = {**card.made_with, "file_sha256": digest}
    if remote is not None:
        made_with |= {"fetched_from": url or "a file brought by hand", "published_at": remote.page}
        card = replace(card, licence=remote.licence, version="2021")
    card = save_model(target, network, replace(card, made_with=made_with))
    if remote is not None and known != digest:
        when = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
        entry = {"sha256": digest, "url": url, "bytes": path.stat().st_size, "first_use": when}
        text = json.dumps(_record() | {model_id: entry}, indent=2) + "\n"
        atomic_write(user_folder() / RECORD, text.encode())
    return Imported(card, target, first_use=remote is not None and not known)


def download(
    remote: Remote, *, file: str | None = None, overwrite: bool = False, trust_new: bool = False
) -> Generator[Notice | Progress | Done[Imported] | Failed]:
    """Fetch a published network, check its hash, and convert it.

    What arrived stays if the connection breaks, and the next run goes on from there.

    Parameters
    ----------
    remote : Remote
        Which.
    file : str, optional
        Name of the file on OSF, should there be several.
    overwrite, trust_new : bool
        As `import_file`.

    Yields
    ------
    Notice
        Why a source is passed over; that a hash was stored.
    Progress
        In megabytes.
    Done of Imported, or Failed
        Last.
    """
    try:
        target_of(remote.id, overwrite=overwrite)
        require_h5py()
        reasons: list[str] = []
        for source in sources(remote, file):
            if isinstance(source, WeightsError):
                reasons.append(source.message)
                yield Notice(f"not from {remote.page}: {source.message}")
                continue
            try:
                part = yield from _fetched(remote.id, source)
            except WeightsError as error:
                reasons.append(error.message)
                yield Notice(f"not from {source.url}: {error.message}")
                continue
            found = import_file(
                part, remote.id, overwrite=overwrite, trust_new=trust_new, url=source.url
            )
            _discard(part)
            yield Done(found)
            return
        raise WeightsError(f"{'; '.join(reasons)}; {remote.by_hand}")
    except DeepMTJError as error:
        yield Failed(error)


def _fetched(model_id: str, source: RemoteFile) -> Generator[Progress, None, Path]:
    """Fetch one file, or the rest of it, and hold it against the hash that the server says."""
    folder = user_folder()
    which = hashlib.sha256(f"{source.url} {source.sha256}".encode()).hexdigest()[:8]
    part = folder / f".{model_id}-{which}.part"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield from _receive(source.url, part)
        digest = _sha256(part)
    except OSError as error:
        raise WeightsError(
            f"cannot be saved in {folder} ({error.strerror or error}); make room there, or name "
            "another folder in $NAPARI_DEEPMTJ_MODELS, and run again"
        ) from error
    if source.sha256 and digest != source.sha256:
        _discard(part)
        raise WeightsError(
            f"what arrived has the hash {digest}, the server says {source.sha256}; it is deleted"
        )
    return part


def _receive(url: str, part: Path) -> Generator[Progress]:
    """Append to `part` what is missing; begin anew where that cannot be known to fit."""
    tag_file = part.with_suffix(".etag")
    have = part.stat().st_size if part.exists() and tag_file.exists() else 0
    ask = {"Range": f"bytes={have}-", "If-Range": tag_file.read_text()} if have else {}
    try:
        answer = opened(url, ask)
    except RefusedError as error:
        if not have or error.status != HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise
        have, answer = 0, opened(url)  # it was whole already, or has changed
    with answer as response:
        tag = response.headers.get("ETag", "")
        resumed = response.status == HTTPStatus.PARTIAL_CONTENT
        if resumed and not response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
            _discard(part)
            raise WeightsError("the server sent another part than was asked for; run again")
        have = have if resumed else 0
        length = response.headers.get("Content-Length", "")
        total = have + int(length) if length.isdecimal() else 0
        if total > MOST_BYTES:
            raise WeightsError(f"the file has {total / 1e9:.1f} GB; no published network has")
        room = shutil.disk_usage(part.parent).free
        if total - have > room:
            need = (total - have) / _MEGABYTE
            raise WeightsError(
                f"{need:.0f} MB are needed in {part.parent}, {room / _MEGABYTE:.0f} MB are free"
            )
        if not resumed:
            _discard(part)
            if tag and not tag.startswith("W/"):  # a weak tag does not promise the same bytes
                tag_file.write_text(tag)
        with part.open("ab" if resumed else "wb") as file:
            try:
                while chunk := response.read(CHUNK):
                    file.write(chunk)
                    have += len(chunk)
                    if have > MOST_BYTES:
                        raise WeightsError("the file does not end")
                    yield _progress(have, total)
            except (HTTPException, TimeoutError, ConnectionError) as error:
                raise WeightsError(_broken(have, total, str(error))) from error
            file.flush()
            os.fsync(file.fileno())
        if total and have != total:
            raise WeightsError(_broken(have, total, "the server ended"))


def _progress(have: int, total: int) -> Progress:
    return Progress(have // _MEGABYTE, max(total, have) // _MEGABYTE, "megabyte")


def _broken(have: int, total: int, why: str) -> str:
    of = f" of {total / _MEGABYTE:.1f}" if total else ""
    return f"the connection broke after {have / _MEGABYTE:.1f}{of} MB ({why}); run again to go on"


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise WeightsError(f"cannot be read ({error.strerror or error})", path=path) from error


def _discard(part: Path) -> None:
    part.unlink(missing_ok=True)
    part.with_suffix(".etag").unlink(missing_ok=True)


def _record() -> dict[str, Any]:
    path = user_folder() / RECORD
    if not path.exists():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise WeightsError(
            f"the hashes of earlier downloads cannot be read ({error}); delete the file to trust "
            "the next download anew",
            path=path,
        ) from error
    return found if isinstance(found, dict) else {}
