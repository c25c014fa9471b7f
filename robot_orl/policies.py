"""A policy by its path: a run folder, a checkpoint or a bundle, as a function of observations."""

from collections.abc import Callable
from pathlib import Path

from robot_orl.deploy.bundle import MANIFEST, Bundle, check_robot
from robot_orl.errors import UsageError
from robot_orl.types import Array, Observation, Spec

Act = Callable[[Observation], Array]


def load_policy(path: str | Path, spec: Spec) -> tuple[Act, str]:
    """The deterministic policy at `path` and the hash that names it.

    spec: of the task that it is to act in. Raises: UsageError, DataError: there is no policy, it is
    damaged, or it was made for something else.
    """
    path = Path(path)
    if (path / MANIFEST).is_file():
        bundle = Bundle.load(path)
        check_robot(bundle.spec, spec)
        return lambda obs: bundle.policy(spec.flatten(obs)), bundle.policy_hash
    return _load_trained(path, spec)


def _load_trained(path: Path, spec: Spec) -> tuple[Act, str]:
    from robot_orl.training.evaluate import policy_of
    from robot_orl.training.runs.checkpoint import checkpoint_hash, load_checkpoint
    from robot_orl.training.runs.run import Run
    from robot_orl.training.state import unpack

    if (path / "config.yaml").is_file():
        run = Run.open(path)
        path, saved = run.find(run.latest_stage())
    elif path.is_file():
        saved = load_checkpoint(path)
    else:
        raise UsageError(f"no policy at '{path}'; give a run folder, a .ckpt file or a bundle folder")
    state = unpack(saved)
    if state.spec != spec.without_cameras():
        raise UsageError(f"{path} was trained for task '{state.spec.task}', not for '{spec.task}'")
    return policy_of(state), checkpoint_hash(path)
