"""A dataset's folder on a disk: files, renames, and the kernel's locks."""

import os
import shutil
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from uuid import uuid4

from zarr.storage import LocalStore

from robot_orl.data.store import lock


class LocalPlace:
    """See `place.Place`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def child(self, name: str) -> "LocalPlace":
        return LocalPlace(self.path / name)

    def exists(self) -> bool:
        return self.path.exists()

    def is_folder(self) -> bool:
        return self.path.is_dir()

    def read(self, name: str) -> bytes:
        return (self.path / name).read_bytes()

    def has(self, name: str) -> bool:
        return (self.path / name).exists()

    def entries(self) -> list[str]:
        return sorted(entry.name for entry in self.path.iterdir())

    def folders(self) -> list[str]:
        return sorted(entry.name for entry in self.path.iterdir() if entry.is_dir())

    def sizes(self) -> Iterator[int]:
        for folder, _, files in os.walk(self.path):
            for name in files:
                try:
                    yield os.lstat(os.path.join(folder, name)).st_size
                except FileNotFoundError:
                    continue

    def make(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.mkdir()

    def settle(self) -> None:
        for folder in (self.path, self.path.parent, self.path.parent.parent):
            sync(folder)

    def publish(self, name: str, content: bytes) -> bool:
        file, draft = self.path / name, self.path / f".{name}.{uuid4().hex}"
        if file.exists():
            return False
        self.path.mkdir(parents=True, exist_ok=True)
        try:
            with draft.open("wb") as out:
                out.write(content)
                out.flush()
                os.fsync(out.fileno())
            try:
                os.link(draft, file)
            except FileExistsError:
                return False
            except OSError:  # a file system without hard links
                os.replace(draft, file)
        finally:
            draft.unlink(missing_ok=True)
        return True

    def remove(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)

    def read_log(self, name: str) -> bytes:
        return self.read(name)

    def open_log(self, name: str, cut: int = 0) -> "LocalLog":
        return LocalLog(self.path / name, cut)

    def hold(self) -> "LocalHold":
        return LocalHold(lock.hold(self.path))

    def holder(self) -> str | None:
        return lock.holder(self.path)

    def zarr(self, read_only: bool) -> LocalStore:
        return LocalStore(self.path, read_only=read_only)

    def errors(self) -> nullcontext[None]:
        return nullcontext()


class LocalLog:
    """See `place.Log`."""

    def __init__(self, file: Path, cut: int) -> None:
        self._descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        if cut:
            os.ftruncate(self._descriptor, os.fstat(self._descriptor).st_size - cut)

    def append(self, content: bytes) -> None:
        size = os.fstat(self._descriptor).st_size
        rest = memoryview(content)
        try:
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
            os.fsync(self._descriptor)
        except BaseException:
            os.ftruncate(self._descriptor, size)
            raise

    def close(self) -> None:
        os.close(self._descriptor)


class LocalHold:
    """The kernel's lock: it drops when this process dies, however it dies."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def renew(self) -> bool:
        """Nothing to do: the kernel knows who lives."""
        return True

    def close(self) -> None:
        os.close(self._descriptor)


def sync(path: Path) -> None:
    """A file's content, or a folder's entries, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_below(folder: Path) -> None:
    """Everything in a folder, and the folder."""
    for place, _, names in os.walk(folder):
        for name in names:
            sync(Path(place, name))
        sync(Path(place))
