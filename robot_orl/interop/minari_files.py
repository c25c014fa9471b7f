"""The files of a Minari dataset, believed only as far as they can be checked; no environment is made.

<root>/<id>/data/metadata.json      spaces, env_spec, data_format, counts
                main_data.hdf5      one group per episode, or
                <episode>/          Arrow or Parquet files and the episode's metadata.json
"""

import json
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robot_orl.errors import DataError, RobotOrlError
from robot_orl.interop.base import library
from robot_orl.interop.hdf5 import EPISODE_BYTES, Column, check_here, opened

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

    def actions(self) -> Iterator[tuple[str, Any]]:
        """Those of each episode, (T, A), and what names it. Raises: DataError: as `episodes`."""
        with self._opened() as file:
            for index in range(self.count):
                what = f"{self.path}: episode {index}"
                with named(what):
                    if file is not None:
                        group = file[f"episode_{index}"]
                        _check(group)
                        yield what, group["actions"][()]
                    else:
                        yield what, self._arrow_actions(index)

    def _arrow_actions(self, index: int) -> Any:
        """The rows of an episode but the last, which stands beside the last observation."""
        found = library("pyarrow.dataset").dataset(
            f"{self.path}/{index}",
            format=self.metadata["data_format"],
            ignore_prefixes=["_", ".", "metadata.json"],  # as Minari's reader opens it
        )
        rows = found.to_table(columns=["actions"])["actions"].combine_chunks()
        return rows.flatten().to_numpy(zero_copy_only=False).reshape(len(rows), -1)[:-1]

    @contextmanager
    def _opened(self) -> Iterator[Any]:
        """The HDF5 file; None: the episodes lie in files of their own."""
        if self.metadata["data_format"] != "hdf5":
            yield None
            return
        with opened(self.path / HDF5_FILE) as file:
            yield file

    def episodes(self) -> Generator[dict[str, Any], None, None]:
        """One at a time, as Minari's reader gives them. Raises: DataError: names the damaged one."""
        with self._opened() as file:
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
        count = metadata.get("total_episodes")
        if not isinstance(count, int) or isinstance(count, bool) or count < 1:
            raise ValueError(f"'total_episodes' is {count!r:.40}")
        library("h5py" if metadata["data_format"] == "hdf5" else "pyarrow")
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
            continue
        check_here(node)
        if node.dtype.kind in "fiub" and node.shape:
            Column(group, name)
        elif node.size and int(node.size) * node.dtype.itemsize > EPISODE_BYTES:
            raise DataError(f"{group.file.filename}: '{node.name}' declares shape {node.shape}")


@contextmanager
def named(what: str) -> Iterator[None]:
    """Readers of three libraries fail in many ways on a damaged file. Raises: DataError: one line."""
    try:
        yield
    except RobotOrlError:
        raise
    except (MemoryError, RecursionError, AssertionError, StopIteration) as error:
        raise DataError(f"{what} cannot be read as Minari's: {type(error).__name__}") from error
    except (OSError, LookupError, ValueError, TypeError, AttributeError, RuntimeError) as error:
        said = (str(error) or type(error).__name__).splitlines()[0]
        raise DataError(f"{what} cannot be read as Minari's: {said}") from error
