"""`robot-orl pretrain`: train an agent offline, and behaviour cloning beside it as the baseline."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf

from robot_orl.commands.inputs import data_paths, fingerprint_of, load_replay, open_datasets, task_of
from robot_orl.commands.tables import print_summary
from robot_orl.config import PretrainConfig
from robot_orl.data.store.provenance import git_revision, package_versions
from robot_orl.data.store.reader import Dataset
from robot_orl.errors import UsageError
from robot_orl.interrupt import StopFlag
from robot_orl.registry import schema_of
from robot_orl.schema import defaults_of, differing
from robot_orl.tasks import make_env, spec_of
from robot_orl.training.pretrain import Cadence, Offline, is_trained_for, pretrain
from robot_orl.training.runs.run import Run
from robot_orl.training.speed import Speed
from robot_orl.training.state import config_object, unpack
from robot_orl.types import Spec

# What may differ between a run and the command that continues it.
FREE = {
    *("steps", "baseline_steps", "log_every", "eval_every", "eval_episodes"),
    *("checkpoint_every", "keep_every", "final_episodes", "stop_at_success", "workers", "threads", "out"),
    *("device", "compile"),  # where the one that was chosen fails, the other must be possible
}


def run(cfg: PretrainConfig) -> None:
    torch.set_num_threads(cfg.threads)
    paths = data_paths(cfg.data)
    datasets = open_datasets(paths, cfg.where)
    task = task_of(datasets[0])
    env = make_env(task)
    _require_run_folder(Path(cfg.out))
    with StopFlag() as stop, Run(Path(cfg.out)) as folder:
        config = asdict(cfg) | {"data": [str(path.resolve()) for path in paths], "task": asdict(task)}
        _require_same(folder, config, defaults_of(cfg) | {"task": defaults_of(task)}, spec_of(env))
        replay = load_replay(env, datasets, stop, cfg.agent)
        folder.save_config(config)  # data that are refused leave no run behind
        folder.update_summary(_facts(cfg, datasets))
        cadence = Cadence(
            cfg.log_every, cfg.eval_every, cfg.eval_episodes, cfg.checkpoint_every, cfg.final_episodes
        )
        fingerprint = fingerprint_of(datasets)
        speed = Speed(cfg.device, cfg.precision, cfg.compile)
        work = Offline(
            folder, env, replay, fingerprint, cfg.seed, cadence, stop, cfg.workers, cfg.keep_every, speed
        )
        is_clone = cfg.agent.name == "bc"
        if cfg.baseline_steps and not is_clone:
            pretrain(work, "bc", schema_of("agent", "bc")(), cfg.baseline_steps)
        pretrain(work, "bc" if is_clone else "offline", cfg.agent, cfg.steps, cfg.stop_at_success)
        print_summary(folder.summary)


def _require_run_folder(path: Path) -> None:
    """Raises: UsageError: the folder holds something else, such as a dataset or a bundle."""
    if path.is_dir() and not (path / "config.yaml").is_file():
        others = {entry.name for entry in path.iterdir()} - {".lock", "config.yaml.partial"}
        if others:
            raise UsageError(f"{path} is not empty and not a run; choose another out=")


def _require_same(folder: Run, config: dict[str, Any], defaults: dict[str, Any], spec: Spec) -> None:
    """Raises: UsageError: there is a run already, and it was asked for something else.

    defaults: what a setting was in a run that was made before there was such a setting.  spec: of the task;
    what an agent would do in other tasks does not count.
    """
    if not (folder.path / "config.yaml").is_file():
        return
    before = OmegaConf.to_container(folder.config)
    assert isinstance(before, dict)
    folder.part("agent")
    _require_not_finetuned(folder, config["steps"], config["stop_at_success"])
    agents = {config["agent"]["name"], before["agent"]["name"]}
    if len(agents) == 1:
        before, config = ({**each, "agent": _for_task(each["agent"], spec)} for each in (before, config))
    if changed := changed_settings(before, config, defaults):
        raise UsageError(
            f"run {folder.path} exists with other values of: {', '.join(changed)}; choose another out="
        )


def _for_task(agent: dict[str, Any], spec: Spec) -> dict[str, Any]:
    return asdict(config_object(agent).for_task(spec))


def changed_settings(
    before: Mapping[Any, Any], now: Mapping[str, Any], defaults: dict[str, Any]
) -> list[str]:
    """Dotted names of what a run cannot go on with: all that differs but what is free to."""
    asked = {name: value for name, value in now.items() if name not in FREE}
    return differing({name: before[name] for name in asked if name in before}, asked, defaults=defaults)


def _require_not_finetuned(folder: Run, steps: int, stop_at_success: float | None) -> None:
    """Raises: UsageError: more offline updates would replace the agent that finetuning began from."""
    if not (folder.has("online") and folder.has("offline")):
        return
    progress = unpack(folder.load("offline")).progress
    known = max(progress.updates, progress.target)  # where its last checkpoint is lost, it is made once more
    if steps > known and not is_trained_for(progress, steps, stop_at_success):
        raise UsageError(
            f"run {folder.path} was finetuned from its {known} offline updates; choose another "
            f"out= for {steps}"
        )


def _facts(cfg: PretrainConfig, datasets: list[Dataset]) -> dict[str, Any]:
    infos = [dataset.info() for dataset in datasets]
    episodes = sum(info.episodes for info in infos)
    return {
        "task": datasets[0].spec.task,
        "agent": cfg.agent.name,
        "seed": cfg.seed,
        "data": {
            "paths": [str(dataset.path.resolve()) for dataset in datasets],
            "episodes": episodes,
            "transitions": sum(info.transitions for info in infos),
            "success": sum((info.success or 0) * info.episodes for info in infos) / episodes,
            "fingerprint": fingerprint_of(datasets),
        },
        "packages": package_versions(),
        "git_revision": git_revision(),
    }
