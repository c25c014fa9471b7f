"""Where a dataset lies: a folder on a disk, or a prefix in an object store such as `s3://bucket/data/pick`.

The store asks little of a place: read and list, publish a file complete or not at all, append to a log, and
tell who is writing. `local` does it with files and the kernel's locks; `remote` with whole objects.
"""

import re
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

from robot_orl.errors import UsageError

URL = re.compile(r"(s3|gs|az)://(.*)", re.DOTALL)


class Url:
    """An object store's address of a folder; of `pathlib.Path`, what names and messages need."""

    def __init__(self, text: str) -> None:
        self._text = text.rstrip("/")

    @property
    def name(self) -> str:
        return self._text.rpartition("/")[2]

    @property
    def parent(self) -> "Url":
        return Url(self._text.rpartition("/")[0])

    def resolve(self) -> "Url":
        return self

    def __truediv__(self, name: str) -> "Url":
        return Url(f"{self._text}/{name}")

    def __str__(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return f"Url({self._text!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Url) and str(other) == self._text

    def __hash__(self) -> int:
        return hash(self._text)


Location = Path | Url


class Log(Protocol):
    """A file that only grows."""

    def append(self, content: bytes) -> None:
        """Durable once this returns; on failure the log is as it was before. Raises: OSError."""

    def close(self) -> None: ...


class Place(Protocol):
    """One folder of a dataset. Failures are OSErrors; FileNotFoundError where nothing is there."""

    @property
    def path(self) -> Location: ...

    def child(self, name: str) -> "Place": ...

    def exists(self) -> bool:
        """Whether something is there, a file included."""

    def is_folder(self) -> bool: ...

    def read(self, name: str) -> bytes: ...

    def has(self, name: str) -> bool: ...

    def entries(self) -> list[str]:
        """Names of what lies directly in it, sorted."""

    def folders(self) -> list[str]:
        """Names of the folders directly in it, sorted."""

    def sizes(self) -> Iterator[int]:
        """Size of every file below [bytes]; files that are replaced meanwhile may count or not."""

    def make(self) -> None:
        """Make the folder, which must be new, and those above it."""

    def settle(self) -> None:
        """Make the folder's entries, and those of the two above it, durable."""

    def publish(self, name: str, content: bytes) -> bool:
        """Make a file, complete or not at all; False: it is there already."""

    def remove(self) -> None:
        """With everything below it; what is not there is not missed."""

    def read_log(self, name: str) -> bytes: ...

    def open_log(self, name: str, cut: int = 0) -> Log:
        """For appending; made where it is missing. cut: bytes of a torn line at its end to drop first."""

    def hold(self) -> "Hold":
        """Become its writer. Raises: BlockingIOError: somebody is."""

    def holder(self) -> str | None:
        """Who writes it now, such as 'process 123'; None: nobody does."""

    def zarr(self, read_only: bool) -> Any:
        """As a Zarr store."""

    def errors(self) -> AbstractContextManager[None]:
        """What fails inside, in Zarr upon this place too, comes out as an OSError."""


class Hold(Protocol):
    """Being a folder's writer, until closed or until this process dies."""

    def renew(self) -> bool:
        """Say that the writer lives; False: it was taken for dead, and somebody else wrote."""

    def close(self) -> None: ...


def location(where: Path | Url | str) -> Location:
    """A path or URL as typed. Raises: UsageError: a URL of an unknown kind."""
    if isinstance(where, Url):
        return where
    text = str(where)
    if isinstance(where, str) and (url := URL.fullmatch(text)):
        if not url.group(2).strip("/"):
            raise UsageError(
                f"'{text}': name a bucket and a folder in it, such as {url.group(1)}://bucket/data"
            )
        return Url(text)
    if isinstance(where, str) and re.match(r"\w{2,}://", text):
        raise UsageError(f"'{text}': a dataset lies in a folder or at s3://, gs:// or az://")
    return Path(where)


def on_disk(where: Location) -> Path:
    """The path. Raises: UsageError: an object store, for what works on files only."""
    if isinstance(where, Url):
        raise UsageError(f"{where} lies in an object store: copy it to a folder for this")
    return where
