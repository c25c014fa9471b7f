"""`robot-orl export`: a run's policy as a bundle that runs without PyTorch."""

from dataclasses import asdict
from pathlib import Path

from robot_orl.commands.inputs import require_spec
from robot_orl.commands.tables import out
from robot_orl.config import ExportConfig
from robot_orl.deploy.supervisor.limits import Limits
from robot_orl.tasks import make_env, spec_of
from robot_orl.training.export import export
from robot_orl.training.runs.run import Run
from robot_orl.training.state import unpack


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
        export(state, Path(cfg.out), folder.task, saved["fingerprint"], limits)
        asked = asdict(cfg) | {"stage": stage}  # what is the latest may change
        folder.update_summary({"bundle": str(Path(cfg.out).resolve()), "export": asked})
    out.print(f"{cfg.out}: policy '{name}' of {cfg.run} as a bundle")
