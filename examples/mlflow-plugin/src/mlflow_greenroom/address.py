"""Addresses of registries.

    greenroom:///srv/registry          a folder of this machine; a server for it is found or started
    greenroom://registry.example.org   a server, by https; by http on localhost
    greenroom+http://host:5050         a server, by http
    greenroom+https://host             a server, by https
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
    """Where a registry is: a folder, or a server. One of both is set."""

    folder: pathlib.Path | None = None
    url: str | None = None


def parse(uri: str) -> Address:
    """Reads the address of a registry."""
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
