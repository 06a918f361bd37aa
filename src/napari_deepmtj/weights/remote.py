"""Where published networks are, and which file of a repository is meant; nothing is fetched whole.

Addresses and the shape of OSF's answers are taken from documentation: nothing here has been tried
against the real servers.
"""

from __future__ import annotations

import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from typing import Any
from urllib.parse import urlsplit

from napari_deepmtj.errors import WeightsError

#: Seconds without an answer after which a server counts as unreachable.
TIMEOUT = 30.0

#: Listings larger than this are no listings; folders deeper and pages more are not followed.
MOST_LISTED, MOST_PAGES = 10_000_000, 100

#: Hosts that may be asked without encryption: this computer.
LOOPBACK = ("127.0.0.1", "::1", "localhost")

#: Endings of files that may be a Keras checkpoint; the authors call theirs `.tf`.
SUFFIXES = (".tf", ".h5", ".hdf5", ".keras")


@dataclass(frozen=True, slots=True)
class Remote:
    """A published network.

    Parameters
    ----------
    id : str
        What the model is called here.
    network : str
        Which network it is, as `networks.build` calls it.
    title, doi, licence : str
        Of what is published.
    page : str
        For people to open.
    listing : str
        OSF's list of the files there, https://developer.osf.io.
    direct : str
        The address in the authors' own program, for when OSF does not answer or has no such file.
    journal : str
        Where and when it was published, in short.
    megabytes : int
        Size of the file, as its authors state it.
    """

    id: str
    network: str
    title: str
    doi: str
    licence: str
    page: str
    listing: str
    direct: str
    journal: str = "TBME 2022"
    megabytes: int = 375

    @property
    def offer(self) -> str:
        """What it is, in a line: where it was published, licence and size."""
        licence = self.licence.replace("CC-BY-", "CC BY ")
        return f"published network ({self.journal}, {licence}, {self.megabytes} MB)"

    @property
    def by_hand(self) -> str:
        """What to do on a computer without internet."""
        return (
            f"without internet here, open {self.page} on another computer, download the trained "
            f"network, and run: napari-deepmtj weights import FILE --id {self.id}"
        )


#: The node and its licence are named in the README of luuleitner/deepMTJ and in P21, the direct
#: address in its predict.py.
REMOTES = {
    "deepmtj-2021": Remote(
        "deepmtj-2021",
        "attention-unet",
        "deepMTJ attention U-Net (P21)",
        "10.1109/TBME.2021.3130548",
        "CC-BY-4.0",
        "https://osf.io/wgy4d/",
        "https://api.osf.io/v2/nodes/wgy4d/files/osfstorage/",
        "https://storage.googleapis.com/deepmtj/IEEEtbme_model_2021/"
        "2021_Unet_deepmtj_ieeetbme_model.tf",
    )
}


class RefusedError(WeightsError):
    """A server answered, but not with the file.

    Parameters
    ----------
    message : str
        As for every error.
    status : int
        Of HTTP.
    """

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file on a server.

    Parameters
    ----------
    name, url : str
    sha256 : str
        As the server says, empty where it does not.
    """

    name: str
    url: str
    sha256: str = ""


def find_remote(model_id: str) -> Remote:
    """Return a published network by id.

    Raises
    ------
    WeightsError
        If none is known by it.
    """
    if model_id not in REMOTES:
        raise WeightsError(
            f"no published network is known as {model_id!r}; there is: {', '.join(REMOTES)}"
        )
    return REMOTES[model_id]


def opened(url: str, headers: dict[str, str] | None = None) -> HTTPResponse:
    """Open an address, with the certificates of the system and of certifi.

    Raises
    ------
    WeightsError
        If it cannot be reached, the server refuses, or it leads to an address that is not
        encrypted, where anybody on the way could put another file.
    """
    import certifi

    from napari_deepmtj.version import __version__

    host = urlsplit(url).netloc
    _require_encrypted(url)
    trusted = ssl.create_default_context()
    trusted.load_verify_locations(certifi.where())
    said = {"User-Agent": f"napari-deepmtj/{__version__}"} | (headers or {})
    request = urllib.request.Request(url, headers=said)
    opener = urllib.request.build_opener(
        _OnlyEncrypted, urllib.request.HTTPSHandler(context=trusted)
    )
    try:
        response: HTTPResponse = opener.open(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        with error:
            said_so = f"{host} answers {error.code} ({error.reason}) to {url}"
            raise RefusedError(said_so, error.code) from error
    except (OSError, HTTPException, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise WeightsError(f"{host} cannot be reached ({reason})") from error
    return response


class _OnlyEncrypted(urllib.request.HTTPRedirectHandler):
    """Follows a server to encrypted addresses alone."""

    def redirect_request(self, *arguments: Any) -> urllib.request.Request | None:
        """Take the arguments of the handler above; the last is where it leads to."""
        _require_encrypted(arguments[-1])
        return super().redirect_request(*arguments)


def _require_encrypted(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme != "https" and (parts.scheme != "http" or parts.hostname not in LOOPBACK):
        raise WeightsError(f"{url!r} is no https address of a server")


def osf_files(listing: str) -> list[RemoteFile]:
    """List the files of an OSF node, its folders included.

    Raises
    ------
    WeightsError
        If the server cannot be reached, or says something else.
    """
    waiting, found, seen = [listing], [], set[str]()
    while waiting:
        url = waiting.pop(0)
        if url in seen:
            continue
        seen.add(url)
        if len(seen) > MOST_PAGES:
            raise WeightsError(f"the list of files at {listing} does not end")
        answer = _json(url)
        try:
            for item in answer["data"]:
                if item["attributes"]["kind"] == "folder":
                    waiting.append(str(item["relationships"]["files"]["links"]["related"]["href"]))
                else:
                    found.append(_file(item))
            following = answer["links"].get("next")
        except (AttributeError, KeyError, TypeError) as error:
            raise WeightsError(
                f"{urlsplit(url).netloc} answers something else than OSF's list of files"
            ) from error
        if following:
            waiting.append(str(following))
    return found


def _file(item: dict[str, Any]) -> RemoteFile:
    hashes = (item["attributes"].get("extra") or {}).get("hashes") or {}
    return RemoteFile(
        str(item["attributes"]["name"]),
        str(item["links"]["download"]),
        str(hashes.get("sha256") or "").lower(),
    )


def _json(url: str) -> Any:
    with opened(url, {"Accept": "application/json"}) as response:
        try:
            return json.loads(response.read(MOST_LISTED))
        except (OSError, HTTPException, ValueError) as error:
            raise WeightsError(
                f"{urlsplit(url).netloc} does not answer with a list of files ({error})"
            ) from error


def choose(files: list[RemoteFile], name: str | None = None) -> RemoteFile:
    """Return the network among the files of a repository.

    Parameters
    ----------
    files : list of RemoteFile
    name : str, optional
        Which one; the only one with an ending of Keras by default.

    Raises
    ------
    WeightsError
        If it is not clear which one; the names are in the message.
    """
    there = ", ".join(file.name for file in files) or "no file"
    meant = [
        file
        for file in files
        if (file.name.lower().endswith(SUFFIXES) if name is None else file.name == name)
    ]
    if len(meant) != 1:
        what = "a file of Keras" if name is None else repr(name)
        many = f"{len(meant)} could be meant by" if meant else "there is not"
        raise WeightsError(f"{many} {what}; say --file with one of: {there}")
    return meant[0]


def sources(remote: Remote, name: str | None) -> Iterator[RemoteFile | WeightsError]:
    """Yield where the network may be had from, the likelier first, and why one is not."""
    try:
        yield choose(osf_files(remote.listing), name)
    except WeightsError as error:
        yield error
    if name is None:
        yield RemoteFile(remote.direct.rsplit("/", 1)[-1], remote.direct)
