"""A bundle: a folder that holds a policy and all that is needed to run it safely, without torch.

    policy.onnx          obs (B, D) float32 -> action (B, A) in [-1, 1]; scaling and squashing inside
    policy.safetensors   the same weights, for later training or inspection
    critic.onnx          optional: obs (B, D), action (B, A) -> q (B, E), what each critic thinks of it
    alarm.safetensors    optional: what normal observations look like; its thresholds are in the manifest
    manifest.json        spec, limits, task, origin, a parity sample, sha256 of every file

`Bundle.load` trusts nothing: it checks every hash and runs the parity sample before it hands out a policy.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from robot_orl.data.store.provenance import git_revision, package_versions
from robot_orl.deploy.critic import OnnxCritic
from robot_orl.deploy.policy import OnnxPolicy
from robot_orl.deploy.promotion.alarm import Calibration
from robot_orl.deploy.supervisor.limits import Limits
from robot_orl.errors import DataError, UsageError
from robot_orl.types import Array, Signal, Spec

FORMAT_VERSION = 1
MANIFEST = "manifest.json"
POLICY = "policy.onnx"
WEIGHTS = "policy.safetensors"
CRITIC = "critic.onnx"
ALARM = "alarm.safetensors"
PARTS = {"task": str, "task_kwargs": dict, "spec": dict, "limits": dict, "parity": dict, "sha256": dict}


@dataclass(frozen=True)
class Bundle:
    """A checked bundle. policy_hash: sha256 of policy.onnx.  manifest: all of manifest.json.

    critic, calibration: None: none travels with it.
    """

    path: Path
    spec: Spec
    limits: Limits
    task: str
    task_kwargs: Mapping[str, Any]
    policy: OnnxPolicy
    policy_hash: str
    manifest: Mapping[str, Any]
    critic: OnnxCritic | None = None
    calibration: Calibration | None = None

    @classmethod
    def load(cls, path: Path | str) -> "Bundle":
        """Raises: DataError: one line that names the file and what to do."""
        folder = Path(path)
        file = folder / MANIFEST
        manifest = _read_manifest(folder)
        try:
            _check_files(folder, manifest["sha256"])
            spec = Spec.from_dict(manifest["spec"])
            limits = Limits.from_dict(manifest["limits"])
            policy = OnnxPolicy(folder / POLICY, spec.observation_size, spec.action_size)
            _check_parity(folder, policy, spec, manifest["parity"])
            policy.warm_up()
            critic = None
            if CRITIC in manifest["sha256"]:
                critic = OnnxCritic(folder / CRITIC, spec.observation_size, spec.action_size)
                _check_critic(folder, critic, manifest["parity"])
            calibration = None
            if ALARM in manifest["sha256"]:
                calibration = Calibration.load(folder / ALARM, manifest["alarm"], spec.observation_size)
            return cls(
                path=folder,
                spec=spec,
                limits=limits,
                task=manifest["task"],
                task_kwargs=manifest["task_kwargs"],
                policy=policy,
                policy_hash=manifest["sha256"][POLICY],
                manifest=manifest,
                critic=critic,
                calibration=calibration,
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DataError(f"{file}: malformed ({error!r}); export again") from error
        except UsageError as error:
            text = str(error)
            raise DataError(
                text if text.startswith(str(folder)) else f"{file}: {text}; export again"
            ) from error


def write_manifest(
    folder: Path | str,
    *,
    spec: Spec,
    limits: Limits,
    task: str,
    task_kwargs: Mapping[str, Any],
    dataset_fingerprint: str,
    parity_obs: Array,
    parity_action: Array,
    parity_q: Array | None = None,
    calibration: Calibration | None = None,
    tolerance: float = 1e-4,
) -> None:
    """Describe and seal the files that lie in `folder`; policy.onnx and policy.safetensors must be there.

    parity_obs: (n, D).  parity_action: (n, A), what the policy must answer to within `tolerance`.
    parity_q: (n, E), what the critics must say of these, to within `tolerance` of the largest; given if
    and only if there is a critic.onnx.  calibration: of the alarm, which is written as well; None: none.
    """
    folder = Path(folder)
    for name in (POLICY, WEIGHTS):
        if not (folder / name).is_file():
            raise DataError(f"{folder / name}: missing; write it before the manifest")
    if np.shape(parity_obs)[1:] != (spec.observation_size,) or len(parity_obs) == 0:
        raise DataError(f"parity_obs has shape {np.shape(parity_obs)}, not (n, {spec.observation_size})")
    if np.shape(parity_action) != (len(parity_obs), spec.action_size):
        raise DataError(f"parity_action has shape {np.shape(parity_action)}, not (n, {spec.action_size})")
    if (parity_q is None) == (folder / CRITIC).is_file():
        raise DataError(f"{folder}: a critic.onnx and what it must answer belong together")
    if calibration is not None:
        calibration.save(folder / ALARM)
    files = sorted(item.name for item in folder.iterdir() if item.is_file() and item.name != MANIFEST)
    manifest: dict[str, Any] = {
        "format_version": FORMAT_VERSION,
        "task": task,
        "task_kwargs": dict(task_kwargs),
        "spec": spec.to_dict(),
        "limits": limits.to_dict(),
        "dataset_fingerprint": dataset_fingerprint,
        "git_revision": git_revision(),
        "packages": package_versions() | {"onnxruntime": version("onnxruntime")},
        "parity": {
            "obs": np.asarray(parity_obs, np.float32).tolist(),
            "action": np.asarray(parity_action, np.float32).tolist(),
            "tolerance": tolerance,
        }
        | ({"q": np.asarray(parity_q, np.float32).tolist()} if parity_q is not None else {}),
        "sha256": {name: _sha256(folder / name) for name in files},
    }
    if calibration is not None:
        manifest["alarm"] = calibration.thresholds()
    manifest["seal"] = _seal(manifest)
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")


def check_robot(wanted: Spec, robot: Spec) -> None:
    """Raises: UsageError: names, units or control rate differ; the line names the first difference."""
    if list(wanted.observation) != list(robot.observation):
        raise UsageError(
            _mismatch("observations", ", ".join(wanted.observation), ", ".join(robot.observation))
        )
    for key in wanted.observation:
        _check_signals(f"observation '{key}'", wanted.observation[key], robot.observation[key])
    _check_signals("action", wanted.action, robot.action)
    if wanted.control_hz != robot.control_hz:
        raise UsageError(_mismatch("control rate", f"{wanted.control_hz:g} Hz", f"{robot.control_hz:g} Hz"))


def _check_signals(what: str, wanted: tuple[Signal, ...], found: tuple[Signal, ...]) -> None:
    if len(wanted) != len(found):
        raise UsageError(_mismatch(f"size of {what}", str(len(wanted)), str(len(found))))
    for index, (ours, theirs) in enumerate(zip(wanted, found, strict=True)):
        if (ours.name, ours.unit) != (theirs.name, theirs.unit):
            left, right = f"{ours.name} [{ours.unit}]", f"{theirs.name} [{theirs.unit}]"
            raise UsageError(_mismatch(f"signal {index} of {what}", left, right))


def _mismatch(what: str, wanted: str, found: str) -> str:
    return f"this robot does not fit the bundle: {what} is {found}, the policy was made for {wanted}"


def _read_manifest(folder: Path) -> dict[str, Any]:
    file = folder / MANIFEST
    if not folder.is_dir():
        raise DataError(f"{folder}: no such bundle folder; make one with `robot-orl export`")
    try:
        manifest = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"{file}: missing, so {folder} is not a bundle; export again") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{file}: cannot be read ({error}); export again") from error
    number = manifest.get("format_version") if isinstance(manifest, dict) else None
    if not isinstance(number, int) or number < 1:
        raise DataError(f"{file}: no format_version, so this is not a bundle's manifest; export again")
    if number > FORMAT_VERSION:
        raise DataError(
            f"{file}: format version {number}, this robot_orl reads up to {FORMAT_VERSION}; upgrade it"
        )
    if manifest.get("seal") != _seal(manifest):
        raise DataError(f"{file}: changed since it was exported; export again")
    for key, kind in PARTS.items():
        if not isinstance(manifest.get(key), kind):
            raise DataError(f"{file}: '{key}' is missing or malformed; export again")
    return manifest


def _check_files(folder: Path, hashes: Mapping[str, str]) -> None:
    for name in {POLICY, WEIGHTS, *hashes}:
        file = folder / name
        if Path(name).name != name or name not in hashes:
            raise DataError(f"{folder / MANIFEST}: has no hash of a plain file '{name}'; export again")
        if not file.is_file():
            raise DataError(f"{file}: missing; export again or copy the whole folder")
        if _sha256(file) != hashes[name]:
            raise DataError(f"{file}: changed since it was exported (sha256 differs); export again")


def _check_parity(folder: Path, policy: OnnxPolicy, spec: Spec, parity: Mapping[str, Any]) -> None:
    """The policy must answer here as it did where it was exported: another runtime may compute otherwise."""
    obs = np.array(parity["obs"], np.float32).reshape(-1, spec.observation_size)
    expected = np.array(parity["action"], np.float32).reshape(-1, spec.action_size)
    found = np.array([policy(row) for row in obs]).reshape(-1, spec.action_size)
    if not len(obs) or len(obs) != len(expected):
        raise DataError(f"{folder / MANIFEST}: has no parity sample; export again")
    error = float(np.abs(found - expected).max())
    if not error <= float(parity["tolerance"]):  # NaN fails as well
        raise DataError(
            f"{folder / POLICY}: answers the parity sample with an error of {error:.2g}, "
            f"tolerance {parity['tolerance']:.2g}; export again with this machine's ONNX Runtime"
        )


def _check_critic(folder: Path, critic: OnnxCritic, parity: Mapping[str, Any]) -> None:
    """As for the policy, relative to the largest value: returns may be in the hundreds."""
    pairs = zip(parity["obs"], parity["action"], strict=True)
    found = np.array([critic(np.array(obs), np.array(action)) for obs, action in pairs])
    expected = np.array(parity["q"], np.float32)
    if found.shape != expected.shape:
        raise DataError(
            f"{folder / CRITIC}: {found.shape[-1]} critics, not as in its parity sample; export again"
        )
    error = float(np.abs(found - expected).max() / max(1.0, np.abs(expected).max()))
    if not error <= float(parity["tolerance"]):
        raise DataError(
            f"{folder / CRITIC}: answers the parity sample with an error of {error:.2g} of the largest, "
            f"tolerance {parity['tolerance']:.2g}; export again with this machine's ONNX Runtime"
        )


def _seal(manifest: Mapping[str, Any]) -> str:
    """sha256 of the manifest without its seal, so that an edited limit or name does not go unnoticed."""
    body = {key: value for key, value in manifest.items() if key != "seal"}
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
