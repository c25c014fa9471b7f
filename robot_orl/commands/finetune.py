"""`robot-orl finetune`: go on learning online, in the task."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import gymnasium
import torch

from robot_orl.agents.bc import NO_ONLINE_PHASE
from robot_orl.commands.inputs import (
    data_paths,
    fingerprint_of,
    load_replay,
    open_datasets,
    require_spec,
)
from robot_orl.commands.tables import out, print_summary
from robot_orl.config import FinetuneConfig
from robot_orl.errors import UsageError
from robot_orl.interrupt import StopFlag
from robot_orl.intervention import standing_by
from robot_orl.tasks import make_env, spec_of
from robot_orl.training.finetune import finetune
from robot_orl.training.online.stage import Online, Recipe
from robot_orl.training.playing.players import warm_up
from robot_orl.training.pretrain import Cadence
from robot_orl.training.runs.run import Run
from robot_orl.training.speed import Speed
from robot_orl.training.state import unpack


def run(cfg: FinetuneConfig) -> None:
    torch.set_num_threads(cfg.threads)
    with StopFlag() as stop, Run.open(cfg.run) as folder:
        _require_pretrained(folder)
        warm_up(folder.task)
        data, where = cfg.data, cfg.where
        if data is None:
            data = list(folder.part("data"))
            where = where or dict(folder.config.items_ex(resolve=False)).get("where")
        datasets = open_datasets(data_paths(data), where)
        env = make_env(folder.task)
        stage = folder.latest_stage()
        require_spec(spec_of(env), unpack(folder.load(stage)).spec, f"checkpoint '{stage}' of run {cfg.run}")
        require_possible(cfg, env)
        replay = load_replay(env, datasets, stop, cfg.agent)
        every = (cfg.log_every, cfg.eval_every, cfg.eval_episodes, cfg.checkpoint_every, cfg.final_episodes)
        seed = folder.part("seed")
        paths = [str(dataset.path.resolve()) for dataset in datasets]
        work = Online(
            folder,
            folder.task,
            env,
            replay,
            fingerprint_of(datasets),
            seed,
            cfg.agent,
            Cadence(*every),
            stop,
            asked=asdict(cfg) | {"data": paths, "where": where},
            stop_at=cfg.stop_at_success,
            speed=Speed(cfg.device, cfg.precision, cfg.compile),
            keep_every=cfg.keep_every,
            operator=cfg.operator,
        )
        recipe = Recipe(
            cfg.env_steps,
            cfg.updates_per_step,
            cfg.offline_share,
            cfg.noise,
            cfg.warmup_steps,
            cfg.environments,
            cfg.deterministic,
            cfg.intervention_share,
        )
        if finetune(work, recipe) is None:
            out.print(
                f"run {cfg.run} has its {cfg.env_steps} environment steps already; ask for more env_steps="
            )
        reached = folder.summary.get("engine", {}).get("reached")
        if reached is not None:
            steps = folder.summary["online"]["env_steps"]
            out.print(f"stopped at step {steps}: the curve's 95% interval begins at {reached:.0%} success")
        print_summary(folder.summary)
        if helped := folder.summary.get("interventions"):
            out.print(told(helped))


def told(helped: Mapping[str, Any]) -> str:
    """Who took over, in words. helped: see `Takeovers.figures`."""
    last = helped["over_time"][-1]["per_episode"] if helped["over_time"] else 0.0
    words = (
        f"interventions: {helped['interventions']} in {helped['episodes']} episodes, {last:.2g} an episode "
        f"at the end; {helped['step_share']:.0%} of the steps"
    )
    if late := helped.get("lateness_ms"):
        words += (
            f"\nticks were late by {late['p50']:.2f} ms (median), {late['p99']:.2f} ms (99%), "
            f"{late['max']:.2f} ms at most, of {late['ticks']}"
        )
    return words


def require_possible(cfg: FinetuneConfig, env: gymnasium.Env[Any, Any]) -> None:
    """Raises: UsageError: who is asked for cannot take over here; before anything is loaded."""
    if cfg.operator is None:
        return
    operator = standing_by(cfg.operator, spec_of(env))
    if operator.needs_person and cfg.environments > 1:
        raise UsageError(
            f"operator={cfg.operator.name} is one person, who watches one environment: leave out "
            f"environments={cfg.environments}"
        )
    operator.stand_by(env).close()


def _require_pretrained(folder: Run) -> None:
    """Raises: UsageError: there is no finished offline agent that could go on learning online."""
    if folder.part("agent").name == "bc":
        raise UsageError(NO_ONLINE_PHASE)
    if not folder.has("offline"):
        raise UsageError(f"run {folder.path} has no finished offline agent to finetune; pretrain it first")
    progress = unpack(folder.load("offline")).progress
    if not progress.is_finished("offline"):
        raise UsageError(
            f"pretraining of run {folder.path} is not finished ({progress.updates} of {progress.target} "
            "updates): run the same pretrain again"
        )
