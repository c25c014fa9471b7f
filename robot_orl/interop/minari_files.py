"""The files of a Minari dataset, believed only as far as they can be checked; no environment is made.

<root>/<id>/data/metadata.json      spaces, env_spec, data_format, counts
                main_data.hdf5      one group per episode, or
                <episode>/          Arrow or Parquet files and the episode's metadata.json
"""

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robot_orl.errors import DataError
from robot_orl.interop.base import library
from robot_orl.interop.hdf5 import EPISODE_BYTES, Column, opened

MAX_METADATA = 2**26  # bytes
HDF5_FILE = "main_data.hdf5"


@dataclass(frozen=True)
class Files:
    """An opened dataset. storage: Minari's own reader.  metadata: as written."""

    path: Path
    metadata: dict[str, Any]
    storage: Any

    @property
    def count(self) -> int:
        return int(self.metadata["total_episodes"])

    def told(self, index: int) -> dict[str, Any]:
        """What is kept about an episode. Raises: DataError: it is damaged."""
        with named(f"{self.path}: episode {index}"):
            return dict(next(iter(self.storage.get_episode_metadata([index]))))

    def episodes(self) -> Iterator[dict[str, Any]]:
        """One at a time, as Minari's reader gives them. Raises: DataError: names the damaged one."""
        with ExitStack() as stack:
            file = None
            if self.metadata["data_format"] == "hdf5":
                file = stack.enter_context(opened(self.path / HDF5_FILE))
            for index in range(self.count):
                with named(f"{self.path}: episode {index}"):
                    if file is not None:
                        _check(file[f"episode_{index}"])
                    episode = dict(next(iter(self.storage.get_episodes([index]))))
                yield episode


def open_files(path: Path) -> Files:
    """path: the folder of a dataset, which holds `data`. Raises: DataError: there is no dataset."""
    data = path if (path / "metadata.json").is_file() else path / "data"
    if not (data / "metadata.json").is_file():
        inside = [found.parent.parent for depth in ("*", "*/*", "*/*/*") for found in _below(path, depth)]
        names = ", ".join(str(found.relative_to(path)) for found in sorted(inside)[:10])
        hint = f"; below it are: {names}" if names else ": it has no data/metadata.json"
        raise DataError(f"{path} is not the folder of a Minari dataset{hint}")
    minari_storage = library("minari.dataset.minari_storage")
    with named(f"{data / 'metadata.json'}"):
        if (data / "metadata.json").stat().st_size > MAX_METADATA:
            raise ValueError("more than 64 MiB")
        metadata = json.loads((data / "metadata.json").read_bytes())
        for key, kind in {"observation_space": str, "action_space": str, "data_format": str}.items():
            # without its spaces Minari would make the environment, which is whatever the file names
            if not isinstance(metadata.get(key), kind):
                raise ValueError(f"it has no '{key}', which Minari 0.5 writes")
        if not isinstance(metadata.get("total_episodes"), int):
            raise ValueError("it has no 'total_episodes'")
        storage = minari_storage.MinariStorage.read(data)
    return Files(data, metadata, storage)


def _below(path: Path, depth: str) -> list[Path]:
    return sorted(path.glob(f"{depth}/data/metadata.json")) if path.is_dir() else []


def _check(group: Any) -> None:
    """Nothing in an episode's group lies elsewhere, or declares more than was written."""
    h5py = library("h5py")
    for name in group:
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise DataError(f"{group.file.filename}: '{group.name}/{name}' is a link")
        node = group[name]
        if isinstance(node, h5py.Group):
            _check(node)
        elif node.dtype.kind in "fiub" and node.shape:
            Column(group, name)
        elif node.size and int(node.size) * node.dtype.itemsize > EPISODE_BYTES:
            raise DataError(f"{group.file.filename}: '{node.name}' declares shape {node.shape}")


@contextmanager
def named(what: str) -> Iterator[None]:
    """Readers of three libraries fail in many ways on a damaged file. Raises: DataError: one line."""
    try:
        yield
    except DataError:
        raise
    except (MemoryError, RecursionError, AssertionError, StopIteration) as error:
        raise DataError(f"{what} cannot be read as Minari's: {type(error).__name__}") from error
    except (OSError, LookupError, ValueError, TypeError, AttributeError, RuntimeError) as error:
        said = (str(error) or type(error).__name__).splitlines()[0]
        raise DataError(f"{what} cannot be read as Minari's: {said}") from error
