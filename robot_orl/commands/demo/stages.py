"""The stages of the demo, in words of the command line: in simulation, and through an arm's serial port."""

from dataclasses import dataclass
from pathlib import Path

from robot_orl.config import DemoConfig
from robot_orl.types import Spec

ARM = "koch"
BASELINE_SHARE = 2  # a cloning update costs a quarter of one of AWAC, and cloning needs more of them
AGAIN_STEPS = 2500  # updates, or environment steps, with the deployed episodes beside the demonstrations
SIM_S = 20.0  # of deployment
ARM_EPISODES = 30  # that are judged on the arm
MEASURED_EPISODES = 100  # in simulation, to be compared with them
# As `robot-orl virtual-arm camera=` prints its cube.
CUBE = "robot.object.marker=0 robot.object.size_mm=22 robot.object.cube_mm=30"
# An arm in a hurry between episodes; a camera on a busy computer may be late.
ARM_WORDS = "robot.move_speed_rad_s=1.5 robot.limits.max_observation_age_s=1.0"


@dataclass(frozen=True)
class Beside:
    """A command that is up once it has said something into its log."""

    words: list[str]
    log: Path

    @property
    def line(self) -> str:
        return " ".join(self.words)


@dataclass(frozen=True)
class Stage:
    """A command of the path. makes: what is there when it is done.  about_s: its time on two cores [s].

    beside: what runs as long as this does.  keeps: a JSON file whose content is remembered, because a later
    stage writes it anew.
    """

    name: str
    words: list[str]
    makes: Path
    about_s: float
    beside: Beside | None = None
    keeps: Path | None = None

    @property
    def line(self) -> str:
        return " ".join(self.words)

    @property
    def key(self) -> str:
        """Tells it from every other one: the same words may be said twice, and do something else then."""
        return f"{self.line}  # {self.name}"


def stages(cfg: DemoConfig, root: Path, spec: Spec) -> list[Stage]:
    """root: folder of everything.  spec: of the task."""
    path = _learning(cfg, root)
    run, bundle = root / "run", root / "bundle"
    if cfg.robot == ARM:
        return [*path, *_on_the_arm(cfg, root, spec), _report(run)]
    data, deployed, again = root / "data", root / "deployed", root / "run_with_deployed"
    duration_s = SIM_S if cfg.duration_s is None else cfg.duration_s
    return [
        *path,
        _stage("evaluate", 8, run / "summary.json", "evaluate", f"run={run}"),
        _export(run, bundle),
        _stage(
            "deploy in real time",
            5 + duration_s,
            bundle / "deploy.json",
            f"deploy robot=sim duration_s={duration_s:g}",
            f"bundle={bundle}",
            f"record={deployed}",
        ),
        # Deployed episodes are data: a short training run on both shows that they are accepted as such.
        _stage(
            "learn from what was deployed, too",
            10 + AGAIN_STEPS * 0.012,
            again / "summary.json",
            f"pretrain agent=awac steps={min(AGAIN_STEPS, cfg.steps)} baseline_steps=0 final_episodes=20 "
            f"seed={cfg.seed}",
            f"data=[{data},{deployed}]",
            f"out={again}",
        ),
        _report(run),
    ]


def _stage(
    name: str,
    about_s: float,
    makes: Path,
    words: str,
    *paths: str,
    beside: Beside | None = None,
    keeps: Path | None = None,
) -> Stage:
    return Stage(name, [*words.split(), *paths], makes, about_s, beside, keeps)


def _learning(cfg: DemoConfig, root: Path) -> list[Stage]:
    """From nothing to a finetuned policy."""
    data, run, seed = root / "data", root / "run", f"seed={cfg.seed}"
    return [
        _stage(
            "collect demonstrations of mixed skill",
            2 + cfg.episodes * 0.06,
            data / "dataset.json",
            f"collect task={cfg.task.name} operator=scripted episodes={cfg.episodes} {seed}",
            f"out={data}",
        ),
        _stage(
            "pretrain offline, and behaviour cloning beside it",
            10 + cfg.steps * 0.018,
            run / "checkpoints" / "offline.ckpt",
            f"pretrain agent=awac steps={cfg.steps} baseline_steps={BASELINE_SHARE * cfg.steps} {seed}",
            f"data={data}",
            f"out={run}",
        ),
        _stage(
            "finetune online",
            10 + cfg.env_steps * 0.03,
            run / "checkpoints" / "online.ckpt",
            f"finetune env_steps={cfg.env_steps}",
            f"run={run}",
        ),
    ]


def _on_the_arm(cfg: DemoConfig, root: Path, spec: Spec) -> list[Stage]:
    """A policy on the arm, and what it did there for another round; each round is measured in both worlds."""
    run, data, deployed = root / "run", root / "data", root / "deployed"
    again_steps = min(AGAIN_STEPS, cfg.env_steps)
    again = _stage(
        "finetune again, with what was deployed beside the demonstrations",
        10 + again_steps * 0.03,
        run / "checkpoints" / "online.ckpt",
        f"finetune env_steps={cfg.env_steps + again_steps}",
        f"run={run}",
        f"data=[{data},{deployed}]",
    )
    first = _measured(cfg, root, spec, root / "bundle", deployed, "")
    return [*first, again, *_measured(cfg, root, spec, root / "bundle_again", None, " again")]


def _measured(
    cfg: DemoConfig, root: Path, spec: Spec, bundle: Path, record: Path | None, again: str
) -> list[Stage]:
    """Success of the run's policy in simulation and, as a bundle, through the serial protocol."""
    run, arm = root / "run", root / "arm"
    has_object = any(s.name.startswith("object_") for group in spec.observation.values() for s in group)
    episode_s = spec.horizon / spec.control_hz
    duration_s = (ARM_EPISODES + 1) * episode_s if cfg.duration_s is None else cfg.duration_s
    return [
        _stage(
            f"evaluate in simulation{again}",
            15,
            run / "summary.json",
            f"evaluate episodes={MEASURED_EPISODES}",
            f"run={run}",
            keeps=run / "summary.json",
        ),
        _export(run, bundle, again),
        _stage(
            f"deploy through the serial protocol to the virtual arm{again}, in real time",
            15 + 1.8 * duration_s,
            bundle / "deploy.json",
            f"deploy robot={ARM} duration_s={duration_s:g} {ARM_WORDS}",
            f"robot.port={arm / 'port'}",
            f"robot.world={arm / 'world'}",
            *(_seen_by(arm / "camera") if has_object else []),
            f"bundle={bundle}",
            *([] if record is None else [f"record={record}"]),
            beside=Beside(
                [
                    "virtual-arm",
                    f"task={cfg.task.name}",
                    f"port={arm / 'port'}",
                    f"world={arm / 'world'}",
                    *([f"camera={arm / 'camera'}"] if has_object else []),
                ],
                arm / "virtual-arm.log",
            ),
        ),
    ]


def _seen_by(camera: Path) -> list[str]:
    """camera: folder of the virtual arm's."""
    return [
        f"robot.object.source={camera / 'stream'}",
        f"robot.object.intrinsics={camera / 'camera.yaml'}",
        f"robot.object.hand_eye={camera / 'hand_eye.yaml'}",
        *CUBE.split(),
    ]


def _export(run: Path, bundle: Path, again: str = "") -> Stage:
    return _stage(f"export{again}", 5, bundle / "manifest.json", "export", f"run={run}", f"out={bundle}")


def _report(run: Path) -> Stage:
    return _stage("report", 15, run / "report.html", "report", f"run={run}")
