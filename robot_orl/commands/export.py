"""`robot-orl export`: a run's policy as a bundle that runs without PyTorch."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from robot_orl.commands.inputs import data_paths, open_datasets, require_spec
from robot_orl.commands.tables import out
from robot_orl.config import ExportConfig
from robot_orl.data.store.reader import Dataset
from robot_orl.deploy.promotion.alarm import Calibration
from robot_orl.deploy.supervisor.limits import Limits
from robot_orl.errors import DataError, UsageError
from robot_orl.tasks import make_env, spec_of
from robot_orl.training.calibration import LEAST, calibration, halves
from robot_orl.training.export import export
from robot_orl.training.runs.run import Run
from robot_orl.training.state import TrainingState, unpack
from robot_orl.types import Array, Spec

MOST = 400  # episodes that are read for the alarm


def run(cfg: ExportConfig) -> None:
    with Run.open(cfg.run) as folder:
        stage = folder.latest_stage() if cfg.stage == "latest" else cfg.stage
        saved = folder.load(stage, cfg.which)
        state = unpack(saved)
        name = stage if cfg.which == "last" else f"{cfg.which} of {stage}"
        require_spec(spec_of(make_env(folder.task)), state.spec, f"checkpoint '{name}' of run {cfg.run}")
        limits = Limits.neutral(max_action_delta=cfg.max_action_delta)
        if cfg.max_observation_age_s is not None:
            limits.max_observation_age_s = cfg.max_observation_age_s
        alarm, told = _calibrated(cfg, folder, state) if cfg.alarm else (None, "no alarm")
        export(
            state,
            Path(cfg.out),
            folder.task,
            saved["fingerprint"],
            limits,
            with_critic=cfg.critic,
            calibration=alarm,
        )
        asked = asdict(cfg) | {"stage": stage}  # what is the latest may change
        folder.update_summary({"bundle": str(Path(cfg.out).resolve()), "export": asked})
    out.print(f"{cfg.out}: policy '{name}' of {cfg.run} as a bundle; {told}")


def _calibrated(cfg: ExportConfig, folder: Run, state: TrainingState) -> tuple[Calibration | None, str]:
    """The alarm and what is to be said of it.

    Without `held_out` half of the run's own episodes are held out: from what is normal, not from training.
    Raises: UsageError: held_out is no such dataset.
    """
    held_out = None
    if cfg.held_out is not None:
        datasets = open_datasets(data_paths(cfg.held_out))
        held_out = _normal(datasets, state.spec)
        if len(held_out) < LEAST:
            raise UsageError(f"held_out={cfg.held_out} has {len(held_out)} episodes; give {LEAST} or more")
        _require_others(cfg, datasets, folder)
    try:
        known = _normal(_datasets(folder), state.spec)
    except UsageError as error:  # the run has no need of its data any more
        if held_out is None:
            return None, f"no alarm: {error}"
        known = []
    if held_out is None and len(known) < 2 * LEAST:
        return None, f"no alarm: the run's data have {len(known)} episodes, {2 * LEAST} are needed"
    source = f"half of {len(known)} episodes of the run"
    if held_out is not None:
        source = f"{len(held_out)} episodes of {cfg.held_out}"
        if len(known) < LEAST:
            known, held_out = halves(held_out)
    else:
        known, held_out = halves(known)
    alarm = calibration(state, known, held_out, with_critic=cfg.critic, source=source, rate=cfg.alarm_rate)
    return (
        alarm,
        f"alarm set on {alarm.states} states ({source}), one in {1 / alarm.rate:.0f} of them raises it",
    )


def _require_others(cfg: ExportConfig, datasets: Iterable[Dataset], folder: Run) -> None:
    """Raises: UsageError: the run learned from one of these, wherever that lies by now."""
    learned = str(folder.summary.get("data", {}).get("fingerprint", "")).split("+")
    for dataset in datasets:
        if dataset.fingerprint() in learned:
            raise UsageError(f"held_out={cfg.held_out}: the run learned from {dataset.path}; give other data")


def _datasets(folder: Run) -> Iterable[Dataset]:
    """What the run learned from. Raises: DataError, UsageError: it is not there any more."""
    config: dict[Any, Any] = dict(folder.config.items_ex(resolve=False))
    found = open_datasets(data_paths(list(folder.part("data"))), config.get("where"))
    online = folder.path / "online"
    return [*found, Dataset.open(online)] if online.is_dir() else found


def _normal(datasets: Iterable[Dataset], spec: Spec) -> list[Array]:
    """Flat observations (T + 1, D) of the latest episodes that went well, of each dataset as many where there
    are more than `MOST`; of whatever episodes where none in any dataset is known to.

    Raises: DataError: a dataset is damaged or of something else.
    """
    datasets = list(datasets)
    for dataset in datasets:
        if missing := dataset.spec.lacks(spec):
            raise DataError(
                f"dataset {dataset.path} lacks what the policy was made for: {', '.join(missing)}"
            )
    good = [[record for record in dataset.episodes if record.meta.success] for dataset in datasets]
    chosen = good if any(good) else [list(dataset.episodes) for dataset in datasets]
    each = _share([len(records) for records in chosen])
    return [
        spec.flatten(episode.obs)
        for dataset, records in zip(datasets, chosen, strict=True)
        for episode in dataset.load_many(records[-each:], sim_state=False)
    ]


def _share(counts: Sequence[int]) -> int:
    """The most that each of these can give, so that all give no more than `MOST`; 1 at least."""
    return next((each for each in range(MOST, 1, -1) if sum(min(each, n) for n in counts) <= MOST), 1)
