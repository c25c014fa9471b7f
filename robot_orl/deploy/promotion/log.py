"""What was answered at each tick, as columns in memory, written as one .npz when the robot is safe."""

from pathlib import Path
from typing import Any

import numpy as np

from robot_orl.deploy.answers import Answer
from robot_orl.errors import RunError
from robot_orl.types import Actor, Array

CHUNK = 4096
MOST = 1_000_000  # ticks; later ones are not kept


class AnswerLog:
    """One row per answer, of which what came of its action is filled in afterwards."""

    def __init__(self, file: Path, action_size: int, most: int = MOST) -> None:
        self.file = file
        a = (action_size,)
        self._row = np.dtype(
            [
                ("asked_ns", "<i8"),
                ("bundle_number", "<i4"),
                ("alarm", "<i4"),
                ("safety", "<i4"),
                ("actor", "<i4"),
                ("reward", "<f4"),
                ("value", "<f4"),
                ("disagreement", "<f4"),
                ("novelty", "<f4"),
                ("shadow_value", "<f4"),
                ("action", "<f4", a),
                ("shadow_action", "<f4", a),
            ]
        )
        self._most = most
        self._chunks: list[Array] = []
        self._length = 0
        self._last: Any = None

    def __len__(self) -> int:
        return self._length

    def answered(self, answer: Answer, asked_ns: int) -> None:
        if self._length == self._most:
            self._last = None
            return
        if self._length % CHUNK == 0:
            self._chunks.append(np.zeros(CHUNK, self._row))
        row = self._last = self._chunks[-1][self._length % CHUNK]
        self._length += 1
        row["asked_ns"] = asked_ns
        row["reward"] = np.nan
        row["actor"] = Actor.UNKNOWN
        for name in ("bundle_number", "alarm", "value", "disagreement", "novelty", "shadow_value"):
            row[name] = getattr(answer, name)
        row["action"] = answer.action
        row["shadow_action"] = answer.shadow_action

    def stepped(self, safety: int, reward: float | None, actor: Actor = Actor.POLICY) -> None:
        """What came of the last answer.  actor: whose action it was; the answer's only if the policy's."""
        if self._last is not None:
            self._last["actor"] = actor
            self._last["safety"] = safety
            self._last["reward"] = np.nan if reward is None else reward

    def marked(self, safety: int) -> None:
        """Bits for the last answer, as the supervisor refused to go on."""
        if self._last is not None:
            self._last["safety"] |= safety

    def columns(self) -> dict[str, Array]:
        """(n, ...) by name."""
        rows = np.concatenate([*self._chunks, np.zeros(0, self._row)])[: self._length]
        return {name: rows[name].copy() for name in self._row.names or ()}

    def write(self) -> None:
        """Whole or not at all. Raises: RunError: it cannot be written."""
        file = self.file
        partial = file.with_name(f"{file.name}.partial")
        try:
            with partial.open("wb") as stream:
                np.savez_compressed(stream, **self.columns())  # type: ignore[arg-type]
            partial.replace(file)
        except OSError as error:
            raise RunError(f"cannot write {file}: {error.strerror}") from error
