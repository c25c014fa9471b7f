"""Answers, what the critics and the alarm add to them, and their way through shared memory."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from deploy_toys import linear_policy
from onnx import TensorProto, helper, numpy_helper

from robot_orl.deploy.answers import Answer, Answerer, AnswerLayout
from robot_orl.deploy.bundle import Bundle, write_manifest
from robot_orl.deploy.promotion.alarm import Alarm, Calibration
from robot_orl.deploy.supervisor.limits import Limits
from robot_orl.errors import DataError
from robot_orl.types import Array, Spec

WEIGHT = np.array([[0.5, 0.0], [0.0, -0.5], [0.25, 0.25]])
# Two critics: the first likes a large first observation, the second a large first action.
OF_OBS, OF_ACTION = np.array([[2.0, 0.0], [0.0, 0.0], [0.0, 0.0]]), np.array([[0.0, 4.0], [0.0, 0.0]])
Write = Callable[..., Path]


def linear_critic(of_obs: Array, of_action: Array) -> onnx.ModelProto:
    """q = obs @ of_obs + action @ of_action; (D, E), (A, E)."""
    sizes = {"obs": len(of_obs), "action": len(of_action), "q": of_obs.shape[1]}
    ports = {
        name: helper.make_tensor_value_info(name, TensorProto.FLOAT, ["B", size])
        for name, size in sizes.items()
    }
    nodes = [
        helper.make_node("MatMul", ["obs", "w"], ["left"]),
        helper.make_node("MatMul", ["action", "v"], ["right"]),
        helper.make_node("Add", ["left", "right"], ["q"]),
    ]
    constants = [
        numpy_helper.from_array(value.astype(np.float32), name)
        for name, value in (("w", of_obs), ("v", of_action))
    ]
    graph = helper.make_graph(nodes, "critic", [ports["obs"], ports["action"]], [ports["q"]], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def some_calibration(size: int = 3) -> Calibration:
    """Novelty is the distance from (1, 1, 1)."""
    mean, whiten = np.ones(size, np.float32), np.eye(size, dtype=np.float32)
    return Calibration(mean, whiten, 2.0, -1.0, 0.5, 1e-3, 5_000, 20, "made by hand")


@pytest.fixture
def write(tmp_path: Path, spec: Spec) -> Write:
    """Writes a bundle. sign: of the policy.  q_error: of the parity sample."""

    def write(
        name: str, sign: float = 1.0, *, critic: bool = True, alarm: bool = True, q_error: float = 0.0
    ) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        onnx.save(linear_policy(sign * WEIGHT, np.zeros(2)), folder / "policy.onnx")
        (folder / "policy.safetensors").write_bytes(b"weights")
        obs = np.eye(3, dtype=np.float32)
        action = np.clip(sign * obs @ WEIGHT, -1, 1)
        q = None
        if critic:
            onnx.save(linear_critic(OF_OBS, OF_ACTION), folder / "critic.onnx")
            q = obs @ OF_OBS + action @ OF_ACTION + q_error
        write_manifest(
            folder,
            spec=spec,
            limits=Limits(),
            task=spec.task,
            task_kwargs={},
            dataset_fingerprint="abc",
            parity_obs=obs,
            parity_action=action,
            parity_q=q,
            calibration=some_calibration() if alarm else None,
        )
        return folder

    return write


def test_an_answer_says_what_the_critics_and_the_alarm_think_of_its_action(write: Write) -> None:
    answer = Answerer(Bundle.load(write("new")))(np.array([1.0, 1.0, 1.0], np.float32))
    # action = (0.75, -0.25); q = (2 * 1, 4 * 0.75) = (2, 3): mean 2.5, deviation 0.5
    assert answer.action.tolist() == [0.75, -0.25]
    assert (answer.value, answer.disagreement, answer.novelty, answer.alarm) == (2.5, 0.5, 0.0, 0)
    assert np.isnan(answer.shadow_action).all()
    assert math.isnan(answer.shadow_value)


def test_each_threshold_raises_its_own_alarm(write: Write) -> None:
    answerer = Answerer(Bundle.load(write("new")))
    # (-1, 1, 1): distance 2, on the threshold; action (-0.25, ..), q = (-2, -1): mean -1.5, deviation 0.5
    assert answerer(np.array([-1.0, 1.0, 1.0], np.float32)).alarm == Alarm.LOW_VALUE
    # (1, 1, 4): distance 3; action (1, 0.5), q = (2, 4): mean 3, deviation 1
    assert answerer(np.array([1.0, 1.0, 4.0], np.float32)).alarm == Alarm.NOVEL | Alarm.UNSURE


def test_a_bundle_without_critic_and_alarm_answers_without(write: Write) -> None:
    bundle = Bundle.load(write("bare", critic=False, alarm=False))
    assert (bundle.critic, bundle.calibration) == (None, None)
    answer = Answerer(bundle)(np.full(3, 1e6, np.float32))
    assert math.isnan(answer.value)
    assert math.isnan(answer.novelty)
    assert answer.alarm == 0
    # An alarm alone knows what is new, but nothing of values.
    answer = Answerer(Bundle.load(write("alarm", critic=False)))(np.full(3, -9.0, np.float32))
    assert answer.alarm == Alarm.NOVEL


def test_the_shadow_is_asked_the_same_and_never_acts(write: Write) -> None:
    new, current = Bundle.load(write("new", -1.0)), Bundle.load(write("current"))
    answer = Answerer(current, new)(np.array([1.0, 1.0, 1.0], np.float32))
    assert answer.action.tolist() == [0.75, -0.25]
    assert answer.shadow_action.tolist() == [-0.75, 0.25]
    # of its own action: (2 * 1, 4 * -0.75) = (2, -3)
    assert (answer.value, answer.shadow_value) == (2.5, -0.5)


def test_after_a_swap_the_other_bundle_acts_and_the_way_back_needs_no_loading(write: Write) -> None:
    folder = write("new", -1.0)
    current, new = Bundle.load(write("current")), Bundle.load(folder)
    answerer, obs = Answerer(current), np.array([1.0, 0.0, 0.0], np.float32)
    assert answerer.swap(new) == 1
    (folder / "policy.onnx").unlink()
    assert (answerer(obs).action.tolist(), answerer(obs).bundle_number) == ([-0.5, 0.0], 1)
    answerer.back(1)
    assert answerer.bundle is current
    assert (answerer(obs).action.tolist(), answerer(obs).bundle_number) == ([0.5, 0.0], 0)
    answerer.back(1)  # speaks of one that does not act any more
    assert answerer.bundle is current
    assert answerer.swap(new) == 2  # no number is given twice
    assert answerer(obs).bundle_number == 2


def test_a_way_back_that_comes_after_another_swap_takes_nothing_back(write: Write) -> None:
    first, second, third = (Bundle.load(write(name)) for name in ("first", "second", "third"))
    answerer, obs = Answerer(first), np.zeros(3, np.float32)
    answerer.swap(second)
    assert answerer(obs).bundle_number == 1
    answerer.swap(third)
    answerer.back(1)  # ordered before anything of the third was seen
    assert (answerer(obs).bundle_number, answerer.bundle) == (2, third)
    answerer.back(2)
    assert (answerer(obs).bundle_number, answerer.bundle) == (1, second)


def test_an_answer_comes_out_of_shared_memory_as_it_went_in() -> None:
    layout = AnswerLayout(2)
    row = np.zeros(layout.size, np.float32)
    shadow = np.array([np.nan, 0.5], np.float32)
    answer = Answer(np.array([0.25, -1.0], np.float32), -2.5, 0.75, shadow, -3.5, 7, 12.5, 5)
    layout.pack(answer, row)
    assert row.tolist()[:4] == [0.25, -1.0, -2.5, 0.75]
    found = layout.unpack(row)
    row[:] = 0  # the next answer
    assert found.action.tolist() == [0.25, -1.0]
    np.testing.assert_array_equal(found.shadow_action, shadow)
    named = ("value", "disagreement", "shadow_value", "bundle_number", "novelty", "alarm")
    assert [getattr(found, name) for name in named] == [-2.5, 0.75, -3.5, 7, 12.5, 5]


def test_a_critic_that_answers_otherwise_here_is_refused(write: Write) -> None:
    folder = write("new", q_error=0.01)
    with pytest.raises(DataError, match=rf"^{folder}/critic.onnx: answers the parity sample with an error"):
        Bundle.load(folder)


@pytest.mark.parametrize("name", ["critic.onnx", "alarm.safetensors"])
def test_a_critic_or_alarm_that_was_changed_is_refused(write: Write, name: str) -> None:
    file = write("new") / name
    content = bytearray(file.read_bytes())
    content[-1] ^= 0xFF
    file.write_bytes(content)
    with pytest.raises(DataError, match=rf"^{file}: changed since it was exported"):
        Bundle.load(file.parent)
    file.unlink()
    with pytest.raises(DataError, match=rf"^{file}: missing"):
        Bundle.load(file.parent)


def test_a_critic_of_other_sizes_is_refused(write: Write) -> None:
    from robot_orl.deploy.bundle import _seal, _sha256

    folder = write("new")
    onnx.save(linear_critic(np.zeros((4, 2)), OF_ACTION), folder / "critic.onnx")
    manifest: dict[str, Any] = json.loads((folder / "manifest.json").read_text())
    manifest["sha256"]["critic.onnx"] = _sha256(folder / "critic.onnx")
    manifest["seal"] = _seal(manifest)
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(DataError, match=r"critic.onnx: expected float 'obs' \(B, 3\)") as caught:
        Bundle.load(folder)
    assert "\n" not in str(caught.value)


def test_a_critic_and_its_parity_sample_belong_together(write: Write, spec: Spec) -> None:
    folder = write("new")
    with pytest.raises(DataError, match="belong together"):
        write_manifest(
            folder,
            spec=spec,
            limits=Limits(),
            task="toy",
            task_kwargs={},
            dataset_fingerprint="",
            parity_obs=np.zeros((1, 3)),
            parity_action=np.zeros((1, 2)),
        )


def test_a_rehearsal_lets_nobody_else_act(write: Write) -> None:
    flat = np.array([1.0, 1.0, 1.0], np.float32)
    answerer = Answerer(Bundle.load(write("old")))
    answerer.swap(Bundle.load(write("new", sign=-1.0)))
    answerer.rehearse(flat)
    assert answerer.bundle.path.name == "old"
    assert answerer(flat).bundle_number == 1
