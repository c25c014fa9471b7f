"""`robot-orl evaluate`: measure a run's policy on the fixed evaluation seeds."""

import torch

from robot_orl.commands.inputs import require_spec
from robot_orl.commands.tables import out
from robot_orl.config import EvaluateConfig
from robot_orl.progress import track
from robot_orl.seeds import EVALUATION_SEEDS
from robot_orl.tasks import make_env, spec_of
from robot_orl.training.evaluate import evaluate
from robot_orl.training.pretrain import policy_of
from robot_orl.training.run import Run
from robot_orl.training.state import unpack


def run(cfg: EvaluateConfig) -> None:
    torch.set_num_threads(1)
    with Run.open(cfg.run) as folder:  # before anything is played that could not be kept
        _measure(cfg, folder)


def _measure(cfg: EvaluateConfig, folder: Run) -> None:
    stage = folder.latest_stage() if cfg.stage == "latest" else cfg.stage
    state = unpack(folder.load(stage))
    env = make_env(folder.task)
    _ = folder.summary  # a damaged one is named before the work, not after it
    require_spec(spec_of(env), state.spec, f"checkpoint '{stage}' of run {cfg.run}")
    seeds = EVALUATION_SEEDS[: cfg.episodes]
    result = evaluate(env, policy_of(state), seeds, lambda items: track(items, f"evaluate: {stage}"))
    progress, unfinished = state.progress, ""
    if progress.is_finished(stage):
        entry = result.to_dict() | {"env_steps": progress.env_steps, "updates": progress.updates}
        folder.update_summary({stage: entry})
    else:
        done = f"{progress.done(stage)} of {progress.target}"
        unfinished = f"; training is not finished ({done}), so this is not kept in the summary"
    low, high = result.wilson95
    out.print(
        f"{stage}: success {result.success:.1%} (95% interval {low:.1%} .. {high:.1%}) at the last step, "
        f"{result.success_any:.1%} at any step, return {result.episode_return:.1f}; {cfg.episodes} episodes"
        f"{unfinished}"
    )
