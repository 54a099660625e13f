"""The server of a registry on this machine: found by its server file in the repository, or started.

A running server holds a lock on its server file, `greenroom/server.json` in the git folder. A file without a lock is left
from a server that was killed. All programs of this user share one server. A server that this module started exits after
`IDLE_EXIT` seconds without a request.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pathlib
import select
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from typing import IO, Iterator

from mlflow.exceptions import MlflowException

IDLE_EXIT = 600
"""The seconds without a request after which a server that this module started exits."""

_START_SECONDS = 60
_HEALTH_SECONDS = 5

# Requests to a server on this machine use no proxy.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def url_of(registry: pathlib.Path) -> str:
    """Returns the URL of a registry's server. Starts the server if it does not run."""
    folder = _state_folder(registry)
    return _running(folder) or _started(registry, folder)


def _state_folder(registry: pathlib.Path) -> pathlib.Path:
    command = ["git", "-C", str(registry), "rev-parse", "--git-common-dir"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, check=True).stdout.rstrip("\n")
    except FileNotFoundError as error:
        raise MlflowException(f"git is needed to find the registry {registry}, and is not on PATH") from error
    except subprocess.CalledProcessError as error:
        why = error.stderr.strip()
        raise MlflowException.invalid_parameter_value(f"{registry} is in no git repository: {why}") from error
    return (registry / found).resolve() / "greenroom"


def _running(folder: pathlib.Path) -> str | None:
    """Returns the URL of the running server, or `None`."""
    try:
        with open(folder / "server.json", encoding="utf-8") as notice:
            try:
                fcntl.flock(notice, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return str(json.load(notice)["url"])
            # No process holds the lock: the server is gone.
            return None
    except (FileNotFoundError, ValueError, KeyError):
        return None


@contextlib.contextmanager
def _alone(folder: pathlib.Path) -> Iterator[None]:
    """Prevents other programs from starting a server at the same time."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "server.lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _program() -> str:
    named = os.environ.get("GREENROOM_BINARY")
    found = named or shutil.which("greenroom")
    if not found:
        raise MlflowException(
            "the program `greenroom` is not on PATH; install it, or name it in GREENROOM_BINARY"
        )
    return found


def _started(registry: pathlib.Path, folder: pathlib.Path) -> str:
    with _alone(folder):
        # Another program may have started a server while this program waited.
        known = _running(folder)
        if known:
            return known
        log = folder / "server.log"
        command = [_program(), "-C", str(registry), "-o", "json", "serve", "--bind", "127.0.0.1:0"]
        with open(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as errors:
            server = subprocess.Popen(
                [*command, "--idle-exit", str(IDLE_EXIT)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,
            )
        assert server.stdout is not None
        with server.stdout as said:
            line = _first_line(said, time.monotonic() + _START_SECONDS)
        try:
            url = str(json.loads(line)["url"])
            _check_health(url)
        except (ValueError, KeyError, OSError) as error:
            server.kill()
            server.wait()
            why = log.read_text(encoding="utf-8", errors="replace").strip() or str(error)
            raise MlflowException(f"no server could be started for {registry}: {why}") from error
        # The server outlives this program; set the code so that Popen does not warn about a running child.
        server.returncode = 0
        return url


def _first_line(said: IO[bytes], until: float) -> bytes:
    line = b""
    while not line.endswith(b"}\n"):
        ready, _, _ = select.select([said], [], [], max(0.0, until - time.monotonic()))
        more = os.read(said.fileno(), 4096) if ready else b""
        if not more:
            break
        line += more
    return line


def _check_health(url: str) -> None:
    with _opener.open(f"{url}/health", timeout=_HEALTH_SECONDS) as answer:
        if answer.read(16) != b"OK":
            raise ValueError(f"{url} is no registry")
