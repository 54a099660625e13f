"""URIs of registries.

    greenroom:///srv/registry          a folder of this machine; its server is found or started
    greenroom://registry.example.org   a server, over https; over http on localhost
    greenroom+http://host:5050         a server, over http
    greenroom+https://host             a server, over https
"""

from __future__ import annotations

import dataclasses
import pathlib
import urllib.parse

from mlflow.exceptions import MlflowException

_LOOPBACK = {"localhost", "127.0.0.1", "::1"}
_SCHEMES = {"greenroom": "", "greenroom+http": "http", "greenroom+https": "https"}


@dataclasses.dataclass(frozen=True)
class Address:
    """The location of a registry: either a folder or the URL of a server is set."""

    folder: pathlib.Path | None = None
    url: str | None = None


def parse(uri: str) -> Address:
    """Parses the URI of a registry. Raises `MlflowException` if the URI is invalid."""
    parts = urllib.parse.urlsplit(uri)
    scheme = _SCHEMES.get(parts.scheme)
    if scheme is None or parts.query or parts.fragment:
        raise _invalid(uri, "it is none of greenroom:///FOLDER, greenroom://HOST, greenroom+http://HOST:PORT")
    if not parts.netloc:
        path = urllib.parse.unquote(parts.path)
        if parts.scheme != "greenroom" or not path.startswith("/"):
            raise _invalid(uri, "a folder is named by its absolute path: greenroom:///srv/registry")
        return Address(folder=pathlib.Path(path))
    if "@" in parts.netloc:
        raise _invalid(uri, "credentials do not belong there; set GREENROOM_TOKEN")
    try:
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise _invalid(uri, str(error)) from error
    if not host:
        raise _invalid(uri, "it names no host")
    shown = f"[{host}]" if ":" in host else host
    chosen = scheme or ("http" if host in _LOOPBACK else "https")
    return Address(url=f"{chosen}://{shown}{f':{port}' if port else ''}{parts.path.rstrip('/')}")


def _invalid(uri: str, why: str) -> MlflowException:
    return MlflowException.invalid_parameter_value(f"'{uri}' is no address of a registry: {why}")
