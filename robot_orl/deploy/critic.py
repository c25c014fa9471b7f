"""The exported critics behind one call, on ONNX Runtime with one thread and memory that is reused."""

from pathlib import Path

import numpy as np
import onnxruntime

from robot_orl.deploy.policy import session_of
from robot_orl.errors import DataError
from robot_orl.types import Array


class OnnxCritic:
    """Flat observation (D,) and action (A,) -> Q by each of the E critics, (E,) float32.

    The model takes `obs` (B, D) and `action` (B, A) and gives `q` (B, E); scaling is inside the graph.
    """

    def __init__(self, path: Path, observation_size: int, action_size: int) -> None:
        """Raises: DataError: not a model, or not of these sizes."""
        self._session = session_of(path, "critic")
        self.members = _members(path, self._session, observation_size, action_size)
        self._obs = np.zeros((1, observation_size), np.float32)
        self._action = np.zeros((1, action_size), np.float32)
        self._q = np.zeros((1, self.members), np.float32)
        self._binding = self._session.io_binding()
        for name, array in (("obs", self._obs), ("action", self._action)):
            self._binding.bind_input(name, "cpu", 0, np.float32, array.shape, array.ctypes.data)
        self._binding.bind_output("q", "cpu", 0, np.float32, self._q.shape, self._q.ctypes.data)

    def __call__(self, obs: Array, action: Array) -> Array:
        """(D,), (A,) -> (E,), a new array."""
        self._obs[0] = obs
        self._action[0] = action
        self._session.run_with_iobinding(self._binding)
        return self._q[0].copy()


def _members(path: Path, session: onnxruntime.InferenceSession, *sizes: int) -> int:
    """How many critics there are. Raises: DataError: the model takes or gives something else."""
    taken = {port.name: (port.type, port.shape) for port in session.get_inputs()}
    given = {port.name: (port.type, port.shape) for port in session.get_outputs()}
    fits = set(taken) == {"obs", "action"} and set(given) == {"q"}
    for name, size in zip(("obs", "action"), sizes, strict=True):
        kind, shape = taken.get(name, ("", []))
        fits = fits and kind == "tensor(float)" and len(shape) == 2 and shape[1] == size
    kind, shape = given.get("q", ("", []))
    if not (fits and kind == "tensor(float)" and len(shape) == 2 and isinstance(shape[1], int)):
        raise DataError(
            f"{path}: expected float 'obs' (B, {sizes[0]}) and 'action' (B, {sizes[1]}) to 'q' (B, E), "
            f"found {taken} to {given}; export again"
        )
    return int(shape[1])
