"""From a path or URL to its place."""

from pathlib import Path

from robot_orl.data.store.local import LocalPlace
from robot_orl.data.store.place import Place, Url, location


def place_at(where: Path | Url | str) -> Place:
    """Nothing is read or made yet. Raises: UsageError: no such kind of URL, or its library is missing."""
    found = location(where)
    if isinstance(found, Path):
        return LocalPlace(found)
    from robot_orl.data.store.remote import RemotePlace  # obstore is optional

    return RemotePlace.at(found)
