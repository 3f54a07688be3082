"""Where files live, by URL: a folder of this machine, or anything that pyarrow's filesystem layer reaches (s3://).

Paths are relative with forward slashes and come from row ids, never from text that a person typed. A written file
is never changed. Only the local folder needs the temporary name: an object store shows an object whole or not at all.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from domain.errors import BadInput

TEMPORARY = ".tmp-"
_SAFE_PATH = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*")


class Content(NamedTuple):
    """A file's bytes; `identity` changes when the file does (None: unknown, always look again)."""

    data: Any
    identity: tuple[int, ...] | None


class Entry(NamedTuple):
    path: str
    age_seconds: float
    is_temporary: bool


class Folder(Protocol):
    url: str

    def exists(self) -> bool: ...

    def read(self, path: str) -> Content:
        """Raises FileNotFoundError."""

    def write(self, path: str, data: Any) -> None:
        """Create a file, durable when this returns; OSError leaves nothing behind."""

    def move(self, path: str, to: str) -> None: ...

    def remove(self, path: str) -> None:
        """Removing what is gone is fine."""

    def entries(self) -> Iterator[Entry]: ...


def open_folder(url: str) -> Folder:
    """The folder behind a path, `file://` or `s3://bucket/prefix` URL; BadInput where the scheme is unknown."""
    scheme, separator, rest = url.partition("://")
    if not separator:
        return LocalFolder(Path(url))
    if scheme == "file":
        return LocalFolder(Path(rest))
    if scheme == "s3" and rest.strip("/"):
        return _bucket(url, rest.strip("/"))
    raise BadInput(f"BARS_URL {url!r} is neither a folder nor s3://bucket/prefix")


class LocalFolder:
    """A folder of this machine. A file appears by rename after its bytes are on disk, so a kill leaves the old
    state plus at most one temporary file."""

    def __init__(self, root: Path) -> None:
        self.root = root.expanduser().resolve()
        self.url = str(self.root)

    def exists(self) -> bool:
        return self.root.is_dir()

    def read(self, path: str) -> Content:
        with self._inside(path).open("rb") as file:
            status = os.fstat(file.fileno())
            return Content(file.read(), (status.st_ino, status.st_mtime_ns, status.st_size))

    def write(self, path: str, data: Any) -> None:
        target = self._inside(path)
        _make_folders(target.parent)
        temporary = target.with_name(TEMPORARY + target.name)
        try:
            with temporary.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.rename(target)
        except BaseException:
            with suppress(FileNotFoundError):
                temporary.unlink()
            raise
        _sync_folder(target.parent)

    def move(self, path: str, to: str) -> None:
        target = self._inside(to)
        _make_folders(target.parent)
        self._inside(path).rename(target)

    def remove(self, path: str) -> None:
        self._inside(path).unlink(missing_ok=True)

    def entries(self) -> Iterator[Entry]:
        now = time.time()
        for folder, _, names in os.walk(self.root):
            for name in names:
                file = Path(folder, name)
                with suppress(FileNotFoundError):  # swept by another process meanwhile
                    age = now - file.stat().st_mtime
                    yield Entry(file.relative_to(self.root).as_posix(), age, name.startswith(TEMPORARY))

    def _inside(self, path: str) -> Path:
        name = path.rpartition("/")[2].removeprefix(TEMPORARY)
        if not _SAFE_PATH.fullmatch(path.rpartition("/")[0] + "/" + name if "/" in path else name):
            raise BadInput(f"{path[:80]!r} is not a path of a bar file")
        return self.root / path


class RemoteFolder:
    """A prefix on an object store."""

    def __init__(self, url: str, filesystem: Any, root: str) -> None:
        self.url, self._filesystem, self._root = url, filesystem, root

    def exists(self) -> bool:
        from pyarrow import fs

        return bool(self._filesystem.get_file_info(self._root).type != fs.FileType.NotFound)

    def read(self, path: str) -> Content:
        with self._filesystem.open_input_file(self._at(path)) as file:
            return Content(file.read_buffer(), None)

    def write(self, path: str, data: Any) -> None:
        with self._filesystem.open_output_stream(self._at(path)) as stream:
            stream.write(data)

    def move(self, path: str, to: str) -> None:
        self._filesystem.move(self._at(path), self._at(to))

    def remove(self, path: str) -> None:
        with suppress(FileNotFoundError):
            self._filesystem.delete_file(self._at(path))

    def entries(self) -> Iterator[Entry]:
        from pyarrow import fs

        now = time.time()
        found = self._filesystem.get_file_info(fs.FileSelector(self._root, recursive=True, allow_not_found=True))
        for info in found:
            if info.type == fs.FileType.File:
                yield Entry(info.path.removeprefix(self._root + "/"), now - info.mtime_ns / 1e9, False)

    def _at(self, path: str) -> str:
        if not _SAFE_PATH.fullmatch(path):
            raise BadInput(f"{path[:80]!r} is not a path of a bar file")
        return f"{self._root}/{path}"


def _bucket(url: str, root: str) -> RemoteFolder:
    from pyarrow import fs

    options: dict[str, Any] = {}
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    if endpoint:
        scheme, _, host = endpoint.rstrip("/").rpartition("://")
        # Without a region pyarrow would ask Amazon where the bucket is.
        options = {"endpoint_override": host, "scheme": scheme or "https", "region": region or "us-east-1"}
    elif region:
        options = {"region": region}
    else:
        options = {"region": fs.resolve_s3_region(root.partition("/")[0])}
    return RemoteFolder(url, fs.S3FileSystem(**options), root)


def _make_folders(folder: Path) -> None:
    if folder.is_dir():
        return
    _make_folders(folder.parent)
    folder.mkdir(exist_ok=True)
    _sync_folder(folder.parent)


def _sync_folder(folder: Path) -> None:
    """A rename is durable only after its folder is synced."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
