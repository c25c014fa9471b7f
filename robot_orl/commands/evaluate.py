"""`robot-orl evaluate`: measure a run's policy on the fixed evaluation seeds."""

from typing import Any

import torch

from robot_orl.commands.inputs import require_spec
from robot_orl.commands.tables import out
from robot_orl.config import EvaluateConfig
from robot_orl.progress import track
from robot_orl.seeds import EVALUATION_SEEDS
from robot_orl.tasks import make_env, spec_of
from robot_orl.training.evaluate import Evaluation
from robot_orl.training.playing.evaluator import Evaluator
from robot_orl.training.pretrain import best_of
from robot_orl.training.runs.run import Run
from robot_orl.training.state import TrainingState, unpack


def run(cfg: EvaluateConfig) -> None:
    torch.set_num_threads(1)
    with Run.open(cfg.run) as folder:  # before anything is played that could not be kept
        _measure(cfg, folder)


def _measure(cfg: EvaluateConfig, folder: Run) -> None:
    stage = folder.latest_stage() if cfg.stage == "latest" else cfg.stage
    state = unpack(folder.load(stage, cfg.which))
    env = make_env(folder.task)
    _ = folder.summary  # a damaged one is named before the work, not after it
    name = stage if cfg.which == "last" else f"{cfg.which} of {stage}"
    require_spec(spec_of(env), state.spec, f"checkpoint '{name}' of run {cfg.run}")
    seeds = EVALUATION_SEEDS[: cfg.episodes]
    with Evaluator(folder, env, cfg.workers) as evaluator:
        result = evaluator(state, seeds, lambda items: track(items, f"evaluate: {name}"))
    low, high = result.wilson95
    out.print(
        f"{name}: success {result.success:.1%} (95% interval {low:.1%} .. {high:.1%}) at the last step, "
        f"{result.success_any:.1%} at any step, return {result.episode_return:.1f}; {cfg.episodes} episodes"
        f"{_keep(folder, stage, cfg.which, state, result)}"
    )


def _keep(folder: Run, stage: str, which: str, state: TrainingState, result: Evaluation) -> str:
    """Put the figures into the summary, unless it has better ones; returns what is to be said of that."""
    progress = state.progress
    if which == "last" and not progress.is_finished(stage):
        done = f"{progress.done(stage)} of {progress.target}"
        return f"; training is not finished ({done}), so this is not kept in the summary"
    entry = result.to_dict() | {"env_steps": progress.env_steps, "updates": progress.updates}
    before = _measured(folder, stage, which)
    is_same = all(before.get(name) == entry[name] for name in ("env_steps", "updates"))
    if is_same and before.get("episodes", 0) > result.episodes:
        return f"; the summary keeps the figures of {before['episodes']} episodes"
    if which == "last":
        folder.update_summary({stage: entry})
    else:
        best = best_of(folder, stage)
        folder.update_summary({"best": {stage: best | {"measured": entry}}})
    return ""


def _measured(folder: Run, stage: str, which: str) -> dict[str, Any]:
    """What the summary says of the last or the best policy of a stage; empty: nothing."""
    found = folder.summary.get("best", {}) if which == "best" else folder.summary
    entry: dict[str, Any] = found.get(stage, {})
    return entry.get("measured", {}) if which == "best" else entry
