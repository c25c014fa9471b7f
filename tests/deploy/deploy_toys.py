"""A small policy in ONNX, bundles made of it, a clock moved by hand and a robot that can fail."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from robot_orl.deploy.bundle import Bundle, write_manifest
from robot_orl.deploy.supervisor.limits import Limits
from robot_orl.errors import RunError
from robot_orl.types import Array, Episode, EpisodeMeta, Outcome, RobotObservation, Spec, Telemetry

MakeBundle = Callable[..., Bundle]
STEP_RAD = 0.5  # of an action of 1


def linear_policy(weight: Array, bias: Array) -> onnx.ModelProto:
    """action = clip(y, -1, 1) + 0 * y with y = obs @ weight + bias, so an overflow of y gives NaN.

    weight: (D, A).  bias: (A,).
    """
    inputs, outputs = (
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["B", size])]
        for name, size in zip(("obs", "action"), weight.shape, strict=True)
    )
    constants = {"w": weight, "b": bias, "low": np.array(-1), "high": np.array(1), "zero": np.array(0)}
    graph = helper.make_graph(
        [
            helper.make_node("Gemm", ["obs", "w", "b"], ["y"]),
            helper.make_node("Clip", ["y", "low", "high"], ["clipped"]),
            helper.make_node("Mul", ["y", "zero"], ["nothing"]),
            helper.make_node("Add", ["clipped", "nothing"], ["action"]),
        ],
        "policy",
        inputs,
        outputs,
        [numpy_helper.from_array(value.astype(np.float32), name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def write_bundle(folder: Path, spec: Spec, limits: Limits, weight: Array, bias: Array) -> Path:
    folder.mkdir(parents=True)
    onnx.save(linear_policy(weight, bias), folder / "policy.onnx")
    (folder / "policy.safetensors").write_bytes(b"weights")
    obs = np.random.default_rng(0).normal(size=(5, spec.observation_size)).astype(np.float32)
    write_manifest(
        folder,
        spec=spec,
        limits=limits,
        task=spec.task,
        task_kwargs={},
        dataset_fingerprint="abc",
        parity_obs=obs,
        parity_action=np.clip(obs @ weight + bias, -1, 1),
    )
    return folder


class FakeClock:
    """Time that moves only when somebody sleeps or moves it."""

    method = "moved by hand"

    def __init__(self) -> None:
        self.time_ns = 1_000_000_007  # odd on purpose: anchors are not round numbers

    def now_ns(self) -> int:
        return self.time_ns

    def sleep_until(self, deadline_ns: int) -> None:
        self.time_ns = max(self.time_ns, deadline_ns)


class Kept(list[Episode]):
    """An episode writer that keeps the episodes.

    settled_at: how many there were at each wait for the disk.
    """

    def __init__(self) -> None:
        super().__init__()
        self.settled_at: list[int] = []

    def begin(self, meta: EpisodeMeta) -> None:
        """No journal is kept."""

    def drop(self) -> None:
        """So there is none to remove."""

    def settle(self, timeout_s: float) -> bool:
        self.settled_at.append(len(self))
        return True


class ToyRobot:
    """Stands in for hardware that can be made to fail. The joints move by the action.

    calls: what was called, in order.  before: called with (name, how many calls of that name came
    earlier) at the start of each call; may raise, move the clock or set `frozen`.
    """

    name = "toy"

    def __init__(self, spec: Spec, clock: FakeClock) -> None:
        self.spec = spec
        self.clock = clock
        self.calls: list[str] = []
        self.sent: list[Array] = []
        self.seeds: list[int] = []
        self.before: Callable[[str, int], None] = lambda name, count: None
        self.result = Outcome(reward=-1.0, success=False)
        self.joint = np.zeros(2, np.float32)
        self.stamp_ns: int | None = None

    def _call(self, name: str) -> None:
        count = self.calls.count(name)
        self.calls.append(name)
        self.before(name, count)

    def connect(self) -> None:
        self._call("connect")

    def home(self, seed: int) -> None:
        self._call("home")
        self.seeds.append(seed)
        self.joint = np.full(2, seed, np.float32)

    def freeze(self) -> None:
        """From now on observations keep this moment's timestamp."""
        self.stamp_ns = self.clock.now_ns()

    def observe(self) -> RobotObservation:
        self._call("observe")
        obs = {"joint": self.joint.copy(), "goal": np.ones(1, np.float32)}
        return RobotObservation(obs, self.stamp_ns or self.clock.now_ns())

    def send(self, action: Array) -> Array:
        self._call("send")
        self.sent.append(action)
        self.joint = self.joint + action
        return action

    def outcome(self) -> Outcome:
        self._call("outcome")
        return self.result

    def stop(self) -> None:
        self._call("stop")

    def close(self) -> None:
        self._call("close")


class ToyArm(ToyRobot):
    """A toy robot of two joints that are where they were sent, and lies down when asked.

    temperatures: as it reports them.  while_parking: called again and again until it has come to rest.
    """

    def __init__(self, spec: Spec, clock: FakeClock) -> None:
        super().__init__(spec, clock)
        self.joints = ("a", "b")
        self.limits = Limits()
        self.should_stop: Callable[[], bool] = lambda: False
        self.temperatures = np.array([30.0, 30.0])
        self.while_parking: Callable[[], None] = lambda: None

    def telemetry(self) -> Telemetry:
        position = self.joint.astype(float)
        return Telemetry(position, np.zeros(2), position, temperatures=self.temperatures)

    def plan(self, action: Array) -> Array:
        return self.joint + STEP_RAD * action.astype(float)

    def command(self, targets: Array) -> Array:
        self._call("command")
        executed = ((targets - self.joint) / STEP_RAD).astype(np.float32)
        self.joint = targets
        self.sent.append(executed)
        return executed

    def tool_at(self, joints: Array) -> Array | None:
        return np.array([joints[0], joints[1], 0.0])

    def park(self) -> None:
        self._call("park")
        for _ in range(3):
            self.while_parking()
            if self.should_stop():
                raise RunError("not at rest: holds where it is")


def always(make_bundle: MakeBundle, spec: Spec, *action: float, limits: Limits | None = None) -> Bundle:
    """A bundle whose policy proposes this."""
    return make_bundle(spec, limits, weight=np.zeros((3, 2)), bias=np.array(action))
