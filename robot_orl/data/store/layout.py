"""Where everything of a dataset lies, and the checksums that guard it.

root/dataset.json                   format version, spec, fields; guarded by its own checksum
root/segments/<utc>_<source>_<id>/  a Zarr v3 group; one writer at a time, known by its lock
  zarr.json                         attrs: who, with what, sealed or not; checksums of the nodes below
  obs/<key>   (N+E, ...) f4         one row more per episode than steps, so s' is never a second copy
  obs/images/<camera> (N+E, H, W, 3) u1
  sim/state   (N+E, S)   f8         only where a simulator is behind the robot
  steps/...   (N, ...)              action, reward, ends, time, actor
  steps/safety (N,)     u2          only where a supervisor watched; bits as in attrs: safety_bits
  episodes.jsonl                    the commit log: an episode exists once its line is complete
  lock                              the writer's process, held by flock while it writes

e-th episode:    steps [start, start + T)          obs [start + e, start + e + T]
its step i of T:  s = obs[start + i + e]           s' = obs[start + i + e + 1]
"""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import google_crc32c
import numpy as np

from robot_orl.data.store.place import Location, Place
from robot_orl.errors import DataError
from robot_orl.types import Array, Episode, EpisodeMeta, Safety, Spec

FORMAT = "robot_orl dataset"
FORMAT_VERSION = 2  # 1: without images, uid, actors, realised rate and relabelled rewards; read as it is
DATASET_FILE = "dataset.json"
SEGMENTS = "segments"
LOG_FILE = "episodes.jsonl"
LOCK_FILE = "lock"
CHUNK_ROWS = 8192
CHUNK_BYTES = 2**21  # wide rows get fewer: an append rewrites the last chunk, and 10 MB of it cost 9 ms
ROW_BYTES = 2**28  # more than any camera's frame: a file that declares wider rows is not believed
IMAGES = "obs/images/"
SAFETY = "steps/safety"
SAFETY_BITS = [(bit.name or "").lower() for bit in Safety]  # from the lowest

_STEP_FIELDS: dict[str, str] = {
    "action": "float32",
    "action_policy": "float32",
    "action_operator": "float32",
    "reward": "float32",
    "terminated": "bool",
    "truncated": "bool",
    "t_ns": "int64",
    "actor": "uint8",
}


@dataclass(frozen=True)
class Field:
    """One array of a segment: its name in the group, the shape of a row, and its type.

    extra_row: it holds T + 1 rows per episode (what was seen), not T (what was done).
    """

    name: str
    row: tuple[int, ...]
    dtype: str
    extra_row: bool

    @property
    def chunk_rows(self) -> int:
        """Rows per chunk: 8192, halved until a chunk fits into 2 MiB."""
        rows, row_bytes = CHUNK_ROWS, np.dtype(self.dtype).itemsize * int(np.prod(self.row, dtype=int))
        while rows > 1 and rows * row_bytes > CHUNK_BYTES:
            rows //= 2
        return rows

    @property
    def is_image(self) -> bool:
        return self.name.startswith(IMAGES)

    @property
    def fill_value(self) -> Any:
        """NaN for floats, so that rows that were never written show."""
        return np.nan if np.dtype(self.dtype).kind == "f" else np.zeros((), self.dtype)[()]

    def chunk_file(self, number: int) -> str:
        """Where the `number`-th chunk lies in a segment; only rows are divided."""
        return "/".join([self.name, "c", str(number), *["0"] * len(self.row)])

    def rows(self, start: int, index: int, length: int) -> slice:
        """Where the `index`-th episode, of `length` steps from step `start`, lies in this array."""
        if self.extra_row:
            return slice(start + index, start + index + length + 1)
        return slice(start, start + length)


def fields_of(spec: Spec, sim_state_size: int | None, has_safety: bool = False) -> dict[str, Field]:
    """Every array of a segment by name, in the order in which they are written.

    has_safety: its episodes tell what a supervisor did.
    Raises: DataError: a name cannot be that of an array, or a row is wider than any robot's.
    """
    for key in (*spec.observation, *spec.cameras):
        if key == "images" or not re.fullmatch(r"[\w.\- ]+", key) or key.strip(". ") == "":
            raise DataError(f"'{key}' cannot name an observation or a camera in a dataset")
    found = [
        Field(f"obs/{key}", (len(signals),), "float32", True) for key, signals in spec.observation.items()
    ]
    for camera, size in spec.cameras.items():
        found.append(Field(f"{IMAGES}{camera}", (size.height, size.width, 3), "uint8", True))
    if sim_state_size is not None:
        found.append(Field("sim/state", (sim_state_size,), "float64", True))
    for name, dtype in _STEP_FIELDS.items():
        row = (spec.action_size,) if name.startswith("action") else ()
        found.append(Field(f"steps/{name}", row, dtype, False))
    if has_safety:
        found.append(Field(SAFETY, (), "uint16", False))
    for field in found:
        if not 0 <= math.prod(field.row) * np.dtype(field.dtype).itemsize <= ROW_BYTES:
            raise DataError(
                f"{field.name} has rows of {field.row} {field.dtype}: more than {ROW_BYTES} bytes"
            )
    return {field.name: field for field in found}


def nodes_of(field: Field) -> list[str]:
    """Names of the Zarr nodes on the way to an array and of itself: obs, obs/images, obs/images/front."""
    parts = field.name.split("/")
    return ["/".join(parts[: i + 1]) for i in range(len(parts))]


def to_columns(episode: Episode, fields: Mapping[str, Field]) -> dict[str, Array]:
    """The episode's arrays by their names in a segment.

    Raises: DataError: an array is missing, of another shape than the spec says, or has no step.
    """
    columns: dict[str, Array] = {f"obs/{key}": value for key, value in episode.obs.items()}
    columns |= {f"{IMAGES}{camera}": frames for camera, frames in episode.images.items()}
    columns |= {f"steps/{name}": getattr(episode, name) for name in _STEP_FIELDS}
    if episode.sim_state is not None:
        columns["sim/state"] = episode.sim_state
    if episode.safety is not None:
        columns[SAFETY] = episode.safety
    if columns.keys() != fields.keys():
        raise DataError(f"episode has arrays {', '.join(columns)}; this segment has: {', '.join(fields)}")
    if len(episode) == 0:
        raise DataError("an episode of 0 steps cannot be recorded")
    for name, field in fields.items():
        shape = (len(episode) + field.extra_row, *field.row)
        found = np.shape(columns[name])
        if found != shape:
            raise DataError(f"episode's {name} has shape {found}; expected {shape}")
        if field.is_image and np.asarray(columns[name]).dtype != np.uint8:
            raise DataError(f"episode's {name} is {np.asarray(columns[name]).dtype}; expected uint8")
        columns[name] = np.ascontiguousarray(columns[name], field.dtype)
    return {name: columns[name] for name in fields}


def from_columns(columns: Mapping[str, Array], meta: EpisodeMeta) -> Episode:
    """Inverse of `to_columns`."""
    images = {name.removeprefix(IMAGES): rows for name, rows in columns.items() if name.startswith(IMAGES)}
    obs = {
        name.removeprefix("obs/"): rows
        for name, rows in columns.items()
        if name.startswith("obs/") and not name.startswith(IMAGES)
    }
    steps = {name: columns[f"steps/{name}"] for name in _STEP_FIELDS}
    return Episode(
        obs=obs,
        sim_state=columns.get("sim/state"),
        meta=meta,
        images=images,
        safety=columns.get(SAFETY),
        **steps,
    )


def plain(value: Any) -> Any:
    """`json.dumps(default=...)`: NumPy scalars and arrays as JSON; anything else as its text."""
    if isinstance(value, (np.generic, np.ndarray)):
        return value.tolist()
    return dict(value) if isinstance(value, Mapping) else str(value)


def to_json(value: Any, sort_keys: bool = False) -> bytes:
    """Compact JSON. Keys keep their order, which means something in a spec's observation."""
    return json.dumps(value, default=plain, sort_keys=sort_keys, separators=(",", ":")).encode()


def crc32c(data: bytes | Array) -> int:
    """CRC-32C (Castagnoli) of bytes, or of an array's little-endian rows."""
    return int(google_crc32c.value(data if isinstance(data, bytes) else data.tobytes()))


def guarded(document: Mapping[str, Any]) -> dict[str, Any]:
    """The document as plain JSON values, with the checksum of the rest of it under `crc32c`."""
    content: dict[str, Any] = json.loads(to_json(document))
    return {**content, "crc32c": _checksum_without(content, "crc32c")}


def is_intact(document: Mapping[str, Any]) -> bool:
    """Whether a `guarded` document still is what was written."""
    return document.get("crc32c") == _checksum_without(document, "crc32c")


def node_checksum(document: Mapping[str, Any]) -> int:
    """Checksum of a zarr.json but for its number of rows, which grows."""
    content = dict(document)
    if isinstance(content.get("shape"), list):
        content["shape"] = content["shape"][1:]
    return _checksum_without(content, "")


def _checksum_without(document: Mapping[str, Any], key: str) -> int:
    content = {name: value for name, value in document.items() if name != key}
    return crc32c(to_json(content, sort_keys=True))


def read_json(place: Place, name: str) -> dict[str, Any]:
    """A JSON object from a file. Raises: DataError: missing, unreadable or not JSON."""
    path = place.path / name
    try:
        document = json.loads(place.read(name))
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is damaged: not valid JSON") from error
    if not isinstance(document, dict):
        raise DataError(f"{path} is damaged: not a JSON object")
    return document


def check_version(path: Location, version: object) -> None:
    """Raises: DataError: written by a newer robot_orl, or no version at all."""
    if not isinstance(version, int) or version < 1:
        raise DataError(f"{path} is damaged: it names no format version")
    if version > FORMAT_VERSION:
        raise DataError(
            f"{path} has format version {version}; this robot_orl reads up to {FORMAT_VERSION}: update it"
        )
