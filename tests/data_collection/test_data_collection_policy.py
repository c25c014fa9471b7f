from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from data_collection.operators.policy import PolicyConfig, PolicyOperator
from robot_orl.deploy.bundle import write_manifest
from robot_orl.deploy.supervisor.limits import Limits
from robot_orl.errors import UsageError
from robot_orl.types import Signal, Spec

SPEC = Spec("line", {"x": (Signal("x"),)}, (Signal("u", low=-1.0, high=1.0),), control_hz=20.0, horizon=10)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle whose policy is u = 0.5 x."""
    folder = tmp_path_factory.mktemp("bundle")
    inputs, outputs = (
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["B", 1])] for name in ("obs", "action")
    )
    half = numpy_helper.from_array(np.array([[0.5]], np.float32), "half")
    nodes = [helper.make_node("MatMul", ["obs", "half"], ["action"])]
    graph = helper.make_graph(nodes, "policy", inputs, outputs, [half])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, folder / "policy.onnx")
    (folder / "policy.safetensors").write_bytes(b"weights")
    obs = np.array([[0.2], [-1.0]], np.float32)
    write_manifest(
        folder,
        spec=SPEC,
        limits=Limits(),
        task="line",
        task_kwargs={},
        dataset_fingerprint="abc",
        parity_obs=obs,
        parity_action=0.5 * obs,
    )
    return folder


def operator_of(bundle: Path, noise: float) -> PolicyOperator:
    return PolicyOperator(PolicyConfig(path=str(bundle), noise=noise), SPEC)


def test_without_noise_the_policy_itself_acts(bundle: Path) -> None:
    operator = operator_of(bundle, noise=0.0)
    assert operator.begin(np.random.default_rng(0)) is None
    action = operator.action({"x": np.array([0.8], np.float32)})
    assert action.dtype == np.float32
    np.testing.assert_allclose(action, [0.4], atol=1e-6)


def test_the_policys_hash_is_on_record(bundle: Path) -> None:
    policy_hash = operator_of(bundle, noise=0.1).policy_hash
    assert policy_hash
    assert policy_hash == operator_of(bundle, noise=0.0).policy_hash


def test_noise_has_its_standard_deviation_and_follows_the_rng(bundle: Path) -> None:
    def actions(seed: int) -> np.ndarray:
        operator = operator_of(bundle, noise=0.1)
        operator.begin(np.random.default_rng(seed))
        return np.stack([operator.action({"x": np.array([0.8], np.float32)}) for _ in range(1000)])

    assert actions(0).mean() == pytest.approx(0.4, abs=0.01)
    assert actions(0).std() == pytest.approx(0.1, rel=0.1)
    np.testing.assert_array_equal(actions(0), actions(0))
    assert not np.array_equal(actions(0), actions(1))


def test_explored_actions_stay_in_range(bundle: Path) -> None:
    operator = operator_of(bundle, noise=2.0)
    operator.begin(np.random.default_rng(0))
    actions = np.stack([operator.action({"x": np.array([2.0], np.float32)}) for _ in range(100)])
    assert actions.min() == -1.0
    assert actions.max() == 1.0


def test_a_policy_operator_without_a_path_says_what_it_needs() -> None:
    with pytest.raises(UsageError, match="operator=policy needs path="):
        PolicyOperator(PolicyConfig(), SPEC)


def test_a_path_without_a_policy_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no policy at"):
        PolicyOperator(PolicyConfig(path=str(tmp_path / "nothing")), SPEC)
