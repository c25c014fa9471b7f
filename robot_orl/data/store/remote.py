"""A dataset in an object store (S3, Google Cloud, Azure) through obstore: whole objects, atomically replaced.

An object store neither appends nor locks. A log is therefore a row of numbered parts, of which only the last
is replaced; and a writer leaves a lease that it renews with its episodes. Each writer has a segment of its
own here too, so that several recorders never touch one object.
"""

import errno
import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

from zarr.storage import ObjectStore

from robot_orl.data.store.place import Url
from robot_orl.errors import RunError, UsageError

PART_BYTES = 2**16  # of a log: what the last line's commit has to send again at most
LEASE_S = 600.0  # a writer that has not committed for so long counts as dead
LEASE_FILE = "lock"
METADATA_HOST = "169.254.169.254"  # where AWS's own machines are asked for credentials, as the last resort
RETRIES: Any = {"max_retries": 4, "retry_timeout": timedelta(seconds=20)}  # its own default is 3 minutes


class RemotePlace:
    """See `place.Place`. store: an obstore store of the whole bucket.  prefix: of this folder, no slash."""

    def __init__(self, store: Any, path: Url, prefix: str) -> None:
        self.path = path
        self._store = store
        self._prefix = prefix
        self._below: Any = None  # the same store as seen from this folder, once Zarr asks for it

    @classmethod
    def at(cls, url: Url) -> "RemotePlace":
        """Credentials, region and endpoint come from the environment, as AWS's own tools take them.

        Raises: UsageError: obstore is missing, or no bucket is named.
        """
        try:
            from obstore.store import from_url
        except ImportError as error:
            raise UsageError(f"{url} needs obstore: pip install 'robot-orl[s3]'") from error
        scheme, _, rest = str(url).partition("://")
        bucket, _, prefix = rest.partition("/")
        if not bucket or not prefix:
            raise UsageError(f"{url}: name a bucket and a folder in it, such as {scheme}://bucket/data/pick")
        try:
            return cls(from_url(f"{scheme}://{bucket}", retry_config=RETRIES), url, prefix)
        except Exception as error:
            raise UsageError(f"{url}: {_reason(error)}") from error

    def child(self, name: str) -> "RemotePlace":
        return RemotePlace(self._store, self.path / name, self._key(name))

    def exists(self) -> bool:
        return bool(self._listed()) or self._head(self._prefix)

    def is_folder(self) -> bool:
        return bool(self._listed()) or not self._head(self._prefix)

    def read(self, name: str) -> bytes:
        return self._get(self._key(name))

    def has(self, name: str) -> bool:
        return self._head(self._key(name)) or bool(self.child(name)._listed())

    def entries(self) -> list[str]:
        return self._listed()

    def folders(self) -> list[str]:
        return self._listed(folders_only=True)

    def sizes(self) -> Iterator[int]:
        import obstore

        with self.errors():
            for batch in obstore.list(self._store, prefix=self._prefix + "/"):
                yield from (entry["size"] for entry in batch)

    def make(self) -> None:
        """Folders are but parts of names."""

    def settle(self) -> None:
        """An object is durable once it is put."""

    def publish(self, name: str, content: bytes) -> bool:
        try:
            self._put(self._key(name), content, mode="create")
        except FileExistsError:
            return False
        return True

    def remove(self) -> None:
        import obstore

        with suppress(OSError), self.errors():
            for batch in obstore.list(self._store, prefix=self._prefix + "/"):
                self._delete([entry["path"] for entry in batch])

    def read_log(self, name: str) -> bytes:
        parts = self._parts(name)
        if not parts:
            raise FileNotFoundError(2, "No such object", f"{self.path}/{name}")
        return b"".join(self._get(part) for part in parts)

    def open_log(self, name: str, cut: int = 0) -> "RemoteLog":
        if cut:
            raise RunError(f"{self.path}/{name} ends in a torn line")
        parts = self._parts(name)
        log = RemoteLog(
            self._put, self._key(name), max(len(parts) - 1, 0), self._get(parts[-1]) if parts else b""
        )
        if not parts:
            log.append(b"")
        return log

    def hold(self) -> "RemoteHold":
        return RemoteHold(self)

    def holder(self) -> str | None:
        """Whether a writer lives is known at once on its machine, elsewhere once its lease is over."""
        import obstore

        try:
            lease = json.loads(self.read(LEASE_FILE))
            owner, machine, pid = f"process {lease['pid']} on {lease['host']}", lease["machine"], lease["pid"]
            with self.errors():
                renewed: datetime = obstore.head(self._store, self._key(LEASE_FILE))["last_modified"]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        end = renewed + timedelta(seconds=LEASE_S)
        if end < datetime.now(UTC):
            return None
        if machine != _machine():
            return f"{owner} (if it was killed, until {end:%H:%M:%S} UTC)"
        return owner if _lives(pid) else None

    def lease(self, content: bytes | None, is_new: bool = False) -> None:
        """Put the lease; None: take it away. Raises: FileExistsError: there is one, and it shall be new."""
        if content is None:
            self._delete([self._key(LEASE_FILE)])
        else:
            self._put(self._key(LEASE_FILE), content, mode="create" if is_new else "overwrite")

    def zarr(self, read_only: bool) -> ObjectStore[Any]:
        from obstore.store import from_url

        if self._below is None:
            self._below = from_url(str(self.path), retry_config=RETRIES)
        return ObjectStore(self._below, read_only=read_only)

    def _key(self, name: str) -> str:
        return f"{self._prefix}/{name}"

    def _parts(self, name: str) -> list[str]:
        import obstore

        with self.errors():
            batches = list(obstore.list(self._store, prefix=self._key(name) + "/"))
        return sorted(entry["path"] for batch in batches for entry in batch)

    def _listed(self, folders_only: bool = False) -> list[str]:
        import obstore

        with self.errors():
            found = obstore.list_with_delimiter(self._store, prefix=self._prefix + "/")
        keys = list(found["common_prefixes"])
        if not folders_only:
            keys += [entry["path"] for entry in found["objects"]]
        return sorted(key.rstrip("/").rpartition("/")[2] for key in keys)

    def _head(self, key: str) -> bool:
        import obstore

        try:
            with self.errors():
                obstore.head(self._store, key)
        except FileNotFoundError:
            return False
        return True

    def _get(self, key: str) -> bytes:
        import obstore

        with self.errors():
            return bytes(obstore.get(self._store, key).bytes())

    def _put(self, key: str, content: bytes, mode: Literal["create", "overwrite"] = "overwrite") -> None:
        import obstore

        with self.errors():
            obstore.put(self._store, key, content, mode=mode)

    def _delete(self, keys: list[str]) -> None:
        import obstore

        with self.errors():
            obstore.delete(self._store, keys)

    @contextmanager
    def errors(self) -> Iterator[None]:
        from obstore.exceptions import AlreadyExistsError, BaseError, NotFoundError

        try:
            yield
        except (NotFoundError, FileNotFoundError) as error:
            raise FileNotFoundError(errno.ENOENT, "No such object", str(self.path)) from error
        except (AlreadyExistsError, FileExistsError) as error:
            raise FileExistsError(errno.EEXIST, "Object exists", str(self.path)) from error
        except BaseError as error:
            raise OSError(errno.EIO, _reason(error), str(self.path)) from error


class RemoteLog:
    """See `place.Log`. Parts `<key>/000000`, `<key>/000001`, ...; only the last one is ever put again."""

    def __init__(self, put: Callable[[str, bytes], None], key: str, number: int, tail: bytes) -> None:
        self._put = put
        self._key = key
        self._number = number
        self._tail = tail

    def append(self, content: bytes) -> None:
        number, tail = self._number, self._tail
        if len(tail) >= PART_BYTES:
            number, tail = number + 1, b""
        self._put(f"{self._key}/{number:06d}", tail + content)
        self._number, self._tail = number, tail + content

    def close(self) -> None:
        """Every part is complete already."""


class RemoteHold:
    """A lease: an object that says who writes, renewed by putting it again.

    Raises: BlockingIOError: somebody else has it.
    """

    def __init__(self, place: RemotePlace) -> None:
        owner = {"pid": os.getpid(), "host": socket.gethostname(), "machine": _machine(), "id": uuid4().hex}
        self._place = place
        self._content = json.dumps(owner).encode()
        try:
            place.lease(self._content, is_new=True)
        except FileExistsError as error:
            if not self._is_ours() and place.holder() is not None:  # ours: the store answered too late
                raise BlockingIOError(errno.EAGAIN, "held") from error
            place.lease(self._content)
        self._renewed_s = time.monotonic()

    def renew(self) -> bool:
        if not self._is_ours():
            return False
        if time.monotonic() - self._renewed_s > LEASE_S / 10:
            self._place.lease(self._content)
            self._renewed_s = time.monotonic()
        return True

    def close(self) -> None:
        with suppress(OSError):
            if self._is_ours():
                self._place.lease(None)

    def _is_ours(self) -> bool:
        try:
            return self._place.read(LEASE_FILE) == self._content
        except FileNotFoundError:  # somebody had it, and is done
            return False


def _machine() -> str:
    """What tells this machine, and its processes, from others; empty: nothing does."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip() + os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _reason(error: BaseException) -> str:
    """The first line of what the library says: the rest of it is its own internals."""
    text = str(error).strip() or type(error).__name__
    if METADATA_HOST in text:
        return "no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment"
    return text.splitlines()[0].split(", after ")[0][:200]
