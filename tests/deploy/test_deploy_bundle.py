import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from deploy_toys import linear_policy, write_bundle

from robot_orl.deploy.bundle import Bundle, check_robot, write_manifest
from robot_orl.deploy.supervisor.limits import Limits
from robot_orl.errors import DataError, UsageError
from robot_orl.types import Signal, Spec

WEIGHT = np.array([[0.5, 0.0], [0.0, -0.5], [0.25, 0.25]])
BIAS = np.array([0.0, 0.125])


@pytest.fixture
def folder(tmp_path: Path, spec: Spec) -> Path:
    return write_bundle(tmp_path / "pick", spec, Limits(max_action_delta=0.5), WEIGHT, BIAS)


def refusal(folder: Path) -> str:
    """The one line with which the bundle is refused."""
    with pytest.raises(DataError) as caught:
        Bundle.load(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def reseal(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Write the manifest anew with a change, as an exporter with a defect would have."""
    from robot_orl.deploy.bundle import _seal

    manifest = json.loads((folder / "manifest.json").read_text())
    change(manifest)
    manifest["seal"] = _seal(manifest)
    (folder / "manifest.json").write_text(json.dumps(manifest))


def test_a_bundle_comes_back_as_it_was_written(folder: Path, spec: Spec) -> None:
    bundle = Bundle.load(folder)
    assert bundle.spec == spec
    assert bundle.limits == Limits(max_action_delta=0.5)
    assert (bundle.task, bundle.task_kwargs) == ("toy", {})
    assert bundle.manifest["dataset_fingerprint"] == "abc"
    assert "onnxruntime" in bundle.manifest["packages"]
    assert bundle.policy_hash == bundle.manifest["sha256"]["policy.onnx"]


def test_the_policy_answers_as_worked_out_by_hand_and_hands_out_new_arrays(folder: Path) -> None:
    policy = Bundle.load(folder).policy
    first = policy(np.array([1.0, 0.5, -1.0], np.float32))
    second = policy(np.array([8.0, 0.0, 0.0], np.float32))
    # 1 * 0.5 - 0.25 = 0.25;  -0.25 - 0.25 + 0.125 = -0.375;  8 * 0.5 is cut to 1
    assert first.tolist() == [0.25, -0.375]
    assert second.tolist() == [1.0, 0.125]


@pytest.mark.parametrize("name", ["policy.onnx", "policy.safetensors", "manifest.json"])
def test_a_changed_byte_anywhere_in_any_file_is_refused(folder: Path, name: str) -> None:
    file = folder / name
    content = file.read_bytes()
    for position in range(0, len(content), max(1, len(content) // 40)):
        changed = bytearray(content)
        changed[position] ^= 0xFF
        file.write_bytes(changed)
        assert str(file) in refusal(folder)
    file.write_bytes(content)
    Bundle.load(folder)


def test_an_edited_limit_is_refused(folder: Path) -> None:
    file = folder / "manifest.json"
    file.write_text(file.read_text().replace('"max_action_delta": 0.5', '"max_action_delta": 1.5'))
    assert f"{file}: changed since it was exported" in refusal(folder)


@pytest.mark.parametrize("name", ["policy.onnx", "policy.safetensors", "manifest.json"])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    assert f"{folder / name}: missing" in refusal(folder)


def test_a_missing_folder_says_how_to_make_one(tmp_path: Path) -> None:
    assert "robot-orl export" in refusal(tmp_path / "nothing")


def test_a_newer_format_is_refused_by_number(folder: Path) -> None:
    reseal(folder, lambda manifest: manifest.update(format_version=2))
    assert "format version 2, this robot_orl reads up to 1; upgrade" in refusal(folder)


def test_a_policy_that_answers_otherwise_than_where_it_was_exported_is_refused(folder: Path) -> None:
    def shift(manifest: dict[str, Any]) -> None:
        manifest["parity"]["action"][3][1] += 0.01

    reseal(folder, shift)
    assert "answers the parity sample with an error of 0.01, tolerance 0.0001" in refusal(folder)


def test_a_bundle_without_a_parity_sample_is_refused(folder: Path) -> None:
    reseal(folder, lambda manifest: manifest["parity"].update(obs=[], action=[]))
    assert "no parity sample" in refusal(folder)


@pytest.mark.parametrize("key", ["spec", "limits", "task", "task_kwargs", "sha256", "parity"])
def test_a_manifest_with_a_part_missing_or_of_a_wrong_kind_is_refused(folder: Path, key: str) -> None:
    wrong: tuple[Any, ...] = (None, 3, [1])
    for value in wrong:
        reseal(folder, partial(dict.update, **{key: value}))
        assert f"{folder / 'manifest.json'}: '{key}' is missing or malformed" in refusal(folder)
    reseal(folder, lambda manifest: manifest.pop(key))
    assert f"{folder / 'manifest.json'}: '{key}' is missing or malformed" in refusal(folder)


@pytest.mark.parametrize(
    ("key", "part"), [("spec", {"task": "x"}), ("limits", {"max_speed": 1}), ("parity", {"obs": [[1]]})]
)
def test_a_malformed_part_of_the_manifest_is_refused(folder: Path, key: str, part: dict[str, Any]) -> None:
    reseal(folder, lambda manifest: manifest.update({key: part}))
    assert str(folder / "manifest.json") in refusal(folder)


def test_a_hash_for_a_file_outside_the_folder_is_refused(folder: Path) -> None:
    (folder.parent / "secret").write_text("x")
    reseal(folder, lambda manifest: manifest["sha256"].update({"../secret": "0"}))
    assert "plain file '../secret'" in refusal(folder)


def test_a_model_of_other_sizes_or_no_model_is_refused_with_its_name(folder: Path, spec: Spec) -> None:
    obs, action = np.zeros((1, 3)), np.zeros((1, 2))

    def manifest_again() -> None:
        write_manifest(
            folder,
            spec=spec,
            limits=Limits(),
            task="toy",
            task_kwargs={},
            dataset_fingerprint="abc",
            parity_obs=obs,
            parity_action=action,
        )

    onnx.save(linear_policy(np.zeros((4, 2)), BIAS), folder / "policy.onnx")
    manifest_again()
    assert "expected one float 'obs' of shape (B, 3)" in refusal(folder)
    (folder / "policy.onnx").write_bytes(b"no model")
    manifest_again()
    assert f"{folder / 'policy.onnx'}: not a policy" in refusal(folder)


def test_the_manifest_is_written_last_and_only_with_a_fitting_parity_sample(folder: Path, spec: Spec) -> None:
    def write(obs_size: int) -> None:
        write_manifest(
            folder,
            spec=spec,
            limits=Limits(),
            task="toy",
            task_kwargs={},
            dataset_fingerprint="abc",
            parity_obs=np.zeros((2, obs_size)),
            parity_action=np.zeros((2, 2)),
        )

    with pytest.raises(DataError, match=r"parity_obs has shape \(2, 4\), not \(n, 3\)"):
        write(4)
    (folder / "policy.safetensors").unlink()
    with pytest.raises(DataError, match=r"policy\.safetensors: missing"):
        write(3)


def test_an_equal_robot_is_accepted_whatever_its_task_is_called(spec: Spec) -> None:
    check_robot(spec, replace(spec, task="the real arm"))


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"control_hz": 50.0}, "control rate is 50 Hz, the policy was made for 10 Hz"),
        ({"action": (Signal("push"),)}, "size of action is 1, the policy was made for 2"),
        ({"action": (Signal("push"), Signal("grip", "N"))}, r"signal 1 of action is grip \[N\]"),
        ({"action": (Signal("grip"), Signal("push"))}, r"signal 0 of action is grip \[1\]"),
        (
            {"observation": {"goal": (Signal("x"),)}},
            "observations is goal, the policy",
        ),
        (
            {"observation": {"joint": (Signal("a", "deg"), Signal("b")), "goal": (Signal("x"),)}},
            r"signal 0 of observation 'joint' is a \[deg\], the policy was made for a \[rad\]",
        ),
    ],
)
def test_a_robot_of_other_names_units_or_rate_is_refused(
    spec: Spec, change: dict[str, Any], line: str
) -> None:
    with pytest.raises(UsageError, match=line):
        check_robot(spec, replace(spec, **change))


@pytest.mark.e2e
def test_deployment_imports_neither_torch_nor_tasks() -> None:
    code = (
        "import sys, robot_orl.deploy.loop, robot_orl.deploy.bundle, robot_orl.deploy.robots.sim;"
        "print([m for m in ('torch', 'envs', 'data_collection') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
