"""What LeRobot has no place for, beside it in meta/robot_orl, so that our own way there and back is exact.

about.json                          spec and env_kwargs
chunk-000/file-000.parquet          a row per episode: labels, the last observation, ends, times, who acted

The rows belong to the frames they were written with: a checksum per episode tells whether these are still
the same ones.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from robot_orl.data.store.layout import crc32c, to_json
from robot_orl.errors import DataError
from robot_orl.interop.labels import meta_from, meta_text, spec_from
from robot_orl.interop.lerobot.layout import OWN_FILE
from robot_orl.interop.lerobot.tables import batches, open_table
from robot_orl.types import Array, Episode, Spec

FORMAT = "robot_orl in LeRobotDataset"
VERSION = 1
_STEPS = {"terminated": "bool", "truncated": "bool", "t_ns": "int64", "actor": "uint8"}
_PROPOSALS = ("action_policy", "action_operator")
_SCHEMA = pa.schema(
    [
        ("episode_index", pa.int64()),
        ("crc32c", pa.int64()),
        ("meta", pa.string()),
        ("last_observation", pa.list_(pa.float32())),
        ("terminated", pa.list_(pa.bool_())),
        ("truncated", pa.list_(pa.bool_())),
        ("t_ns", pa.list_(pa.int64())),
        ("actor", pa.list_(pa.uint8())),
        ("action_policy", pa.list_(pa.float32())),  # (T * A,); null: nobody proposed anything
        ("action_operator", pa.list_(pa.float32())),
        ("sim_state", pa.list_(pa.float64())),  # ((T + 1) * S,); null: no simulator
        ("safety", pa.list_(pa.uint16())),  # (T,); null: no supervisor
    ]
)
_ADDED = {"safety"}  # which earlier exports do not have


def frames_checksum(state: Array, action: Array) -> int:
    """state: (T, D) float32, action: (T, A) float32, as the frames hold them."""
    return crc32c(
        np.ascontiguousarray(state, "<f4").tobytes() + np.ascontiguousarray(action, "<f4").tobytes()
    )


def to_table(episode: Episode, index: int, state: Array) -> pa.Table:
    """One row. state: (T + 1, D), the flat observations."""
    row: dict[str, Any] = {
        "episode_index": index,
        "crc32c": frames_checksum(state[:-1], episode.action),
        "meta": meta_text(episode.meta),
        "last_observation": state[-1],
        "sim_state": None if episode.sim_state is None else episode.sim_state.reshape(-1),
        "safety": episode.safety,
    }
    row |= {name: getattr(episode, name) for name in _STEPS}
    for name in _PROPOSALS:
        proposed = getattr(episode, name)
        row[name] = None if _is_unknown(proposed) else proposed.reshape(-1)
    return pa.Table.from_arrays([_column(row[field.name], field.type) for field in _SCHEMA], schema=_SCHEMA)


def _is_unknown(rows: Array) -> bool:
    """Every bit as in `np.nan`: another NaN would not come back as it was."""
    return rows.tobytes() == np.full_like(rows, np.nan).tobytes()


def _column(value: Any, kind: pa.DataType) -> pa.Array:
    """One cell. A list of its array, without a detour over Python's numbers."""
    if value is None or not isinstance(value, np.ndarray):
        return pa.array([value], kind)
    return pa.ListArray.from_arrays(pa.array([0, value.size], pa.int32()), pa.array(value, kind.value_type))


def _value(cell: pa.Scalar) -> Any:
    """Inverse of `_column`."""
    if not cell.is_valid or not isinstance(cell, pa.ListScalar):
        return cell.as_py()
    return cell.values.to_numpy(zero_copy_only=False)


def write_about(root: Path, spec: Spec, env_kwargs: Mapping[str, Any]) -> None:
    about = {"format": FORMAT, "version": VERSION, "spec": spec.to_dict(), "env_kwargs": dict(env_kwargs)}
    (root / OWN_FILE).write_bytes(to_json(about) + b"\n")


def read_about(root: Path) -> tuple[Spec, Mapping[str, Any]] | None:
    """Spec and env_kwargs of an export of ours; None: it is not one.

    Raises: DataError: damaged, or of a newer version.
    """
    path = root / OWN_FILE
    if not path.is_file():
        return None
    try:
        about = json.loads(path.read_bytes())
        version, spec, env_kwargs = about["version"], about["spec"], about["env_kwargs"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise DataError(f"{path} is damaged: {error!r}") from error
    if version != VERSION:
        raise DataError(f"{path} has version {version}; this robot_orl reads {VERSION}: update it")
    return spec_from(json.dumps(spec), str(path)), dict(env_kwargs)


class OwnRows:
    """Our rows in the order of the episodes."""

    def __init__(self, root: Path, spec: Spec) -> None:
        self._what = f"{(root / OWN_FILE).parent}"
        self._spec = spec
        files = sorted((root / OWN_FILE).parent.glob("chunk-*/file-*.parquet"))
        self._rows = self._all(files)

    def _all(self, files: list[Path]) -> Iterator[Mapping[str, Any]]:
        """Lists as arrays: as Python's numbers, some NaNs would come back as others."""
        for file in files:
            with open_table(file, ()) as table:
                there = set(table.schema_arrow.names)
            names = [name for name in _SCHEMA.names if name not in _ADDED or name in there]
            for batch in batches(file, names, rows=1):
                cells = {name: batch.column(name)[0] for name in names}
                yield {name: _value(cell) for name, cell in cells.items()}

    def restore(
        self, index: int, state: Array, action: Array, reward: Array | None, images: dict[str, Array]
    ) -> Episode:
        """The episode as it was exported. state: (T, D).  reward: None where it was unknown.

        images: per camera (T + 1, H, W, 3). Raises: DataError: the row is not that of these frames.
        """
        row = next(self._rows, None)
        if (
            row is None
            or row["episode_index"] != index
            or row["crc32c"] != frames_checksum(state, action)
            or np.shape(row["last_observation"]) != (state.shape[1],)
        ):
            raise DataError(
                f"{self._what} does not belong to episode {index} of these data, which were changed since: "
                "remove that folder to import them as any LeRobotDataset"
            )
        steps = len(action)
        flat = np.concatenate([state, row["last_observation"][np.newaxis]])
        try:
            columns: dict[str, Array] = {
                name: np.array(row[name], kind).reshape(steps) for name, kind in _STEPS.items()
            }
            for name in _PROPOSALS:
                unknown = np.full(action.shape, np.nan, np.float32)
                columns[name] = unknown if row[name] is None else row[name].reshape(action.shape)
            sim_state = row["sim_state"]
            if sim_state is not None:
                sim_state = np.asarray(sim_state, np.float64).reshape(steps + 1, -1)
            safety = row.get("safety")
            if safety is not None:
                safety = np.asarray(safety, np.uint16).reshape(steps)
        except (TypeError, ValueError, AttributeError) as error:
            raise DataError(f"{self._what} is damaged at episode {index}: {error}") from error
        return Episode(
            obs={key: flat[:, self._spec.slice_of(key)] for key in self._spec.observation},
            action=action,
            reward=np.full(steps, np.nan, np.float32) if reward is None else reward,
            sim_state=sim_state,
            meta=meta_from(row["meta"], f"{self._what}: episode {index}"),
            images=images,
            safety=safety,
            **columns,
        )
