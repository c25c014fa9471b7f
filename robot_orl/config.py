"""One dataclass per command: what it takes, its defaults, units and ranges."""

from dataclasses import dataclass
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING

from robot_orl.deploy.promotion.rollback import RollbackConfig
from robot_orl.deploy.virtual.faults import FaultsConfig
from robot_orl.errors import UsageError
from robot_orl.schema import Schema, setting
from robot_orl.seeds import MAX_RUN_SEED
from robot_orl.statistics import wilson_interval
from robot_orl.tasks import TaskConfig

STEPS = 100_000_000


@dataclass
class CollectConfig(Schema):
    """Record demonstrations of a task into a dataset."""

    task: TaskConfig = setting(factory=TaskConfig, help="What is to be done; see below.")
    operator: Any = setting(MISSING, "Who does it; see below.")
    out: str = setting(help="Folder of the dataset; an existing one is added to.")
    episodes: int = setting(
        100,
        "Episodes that this operator and seed contribute in all; of a person, good ones.",
        low=1,
        high=499_999,
    )
    seed: int = setting(0, "Seed of the start states and of the operator.", low=0, high=MAX_RUN_SEED)
    realtime: bool = setting(False, "Wait for the clock at every step instead of running at full speed.")


@dataclass
class TrainingConfig(Schema):
    """What every training takes besides its own."""

    stop_at_success: float | None = setting(
        None,
        "Stop once the lower 95% bound of a point of the learning curve reaches this success; null: never. "
        "The cloning baseline does not stop.",
        low=0,
        high=1,
    )
    eval_episodes: int = setting(20, "Episodes for a point of the learning curve.", low=1, high=10_000)
    final_episodes: int = setting(50, "Evaluation episodes at the end of a stage.", low=1, high=10_000)
    threads: int = setting(1, "CPU threads for PyTorch; small networks are fastest on one.", low=1, high=256)
    device: str = setting(
        "auto", "Where updates are computed; auto: a GPU if there is one.", choices=["auto", "cpu", "cuda"]
    )
    precision: str = setting(
        "auto",
        "Of matrix products; auto: bfloat16 where the processor has it.",
        choices=["auto", "float32", "bfloat16"],
    )
    compile: str = setting(
        "auto",
        "One compiled graph per update: from 20,000 updates on it saves time.",
        choices=["auto", "on", "off"],
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        _require_reachable(self.stop_at_success, self.eval_episodes)


def _require_reachable(stop_at_success: float | None, episodes: int) -> None:
    """Raises: UsageError: not even all episodes of a point of the learning curve would show it."""
    best = wilson_interval(episodes, episodes)[0]
    if stop_at_success is not None and stop_at_success > best:
        raise UsageError(
            f"stop_at_success={stop_at_success} is never reached: {episodes} of {episodes} episodes show "
            f"{best:.3f} at most; ask for more eval_episodes="
        )


@dataclass
class PretrainConfig(TrainingConfig):
    """Train an agent offline on datasets; behaviour cloning is trained beside it as the baseline."""

    agent: Any = setting(MISSING, "The algorithm; see below.")
    data: Any = setting(MISSING, "Folder of a dataset, or a list of them: [data/a,data/b].")
    where: str | None = setting(
        None, "Which of their episodes, such as 'success and quality > 0.5'; null: all of them."
    )
    out: str = setting(help="Run folder; an unfinished run there is continued.")
    steps: int = setting(10_000, "Gradient updates.", unit="updates", low=1, high=STEPS)
    seed: int = setting(0, "Seed of the weights and of sampling.", low=0, high=MAX_RUN_SEED)
    baseline_steps: int = setting(
        15_000, "Updates of the behaviour cloning baseline; 0 trains none.", unit="updates", low=0, high=STEPS
    )
    log_every: int = setting(100, "Updates between two lines of metrics.", unit="updates", low=1, high=STEPS)
    eval_every: int = setting(
        2_500, "Updates between two points of the learning curve.", unit="updates", low=1, high=STEPS
    )
    checkpoint_every: int = setting(
        1_000, "Updates between two checkpoints.", unit="updates", low=1, high=STEPS
    )
    keep_every: int | None = setting(
        None,
        "Updates between two checkpoints that are kept for good; null: only the last two and the best are.",
        unit="updates",
        low=1,
        high=STEPS,
    )
    workers: int | None = setting(
        None,
        "Processes that evaluate, with the same figures; null: one for each core, once that saves time.",
        low=1,
        high=256,
    )


@dataclass
class FinetuneConfig(TrainingConfig):
    """Go on learning online: act in the task, record, update."""

    run: str = setting(help="Run folder made by pretrain.")
    agent: Any = setting(MISSING, "The run's own agent; single fields of it may be changed.")
    data: Any = setting(None, "Offline dataset or list of them; null: those that the run was pretrained on.")
    where: str | None = setting(
        None,
        "Which episodes of the offline data; null: all, or what the run was pretrained on.",
    )
    env_steps: int = setting(
        10_000, "Environment steps in all; a finished run goes on with more.", unit="steps", low=1, high=STEPS
    )
    updates_per_step: int = setting(2, "Gradient updates per environment step.", low=1, high=1000)
    offline_share: float = setting(
        0.5, "Share of every batch that comes from the offline data.", low=0, high=1
    )
    intervention_share: float = setting(
        0.5,
        "Of that, the share of steps in which somebody had taken over from the policy, once there are any.",
        low=0,
        high=1,
    )
    noise: float = setting(
        0.15, "Standard deviation of the exploration noise on actions in [-1, 1].", low=0, high=2
    )
    warmup_steps: int = setting(
        500,
        "Environment steps with the policy frozen before the first update.",
        unit="steps",
        low=0,
        high=STEPS,
    )
    environments: int = setting(1, "Environment processes that play at once.", low=1, high=256)
    operator: Any = setting(
        None, "Who may take over while the policy acts, a person or a script; null: nobody. See below."
    )
    deterministic: bool = setting(
        True,
        "Learn from episodes in the order of their numbers, bitwise repeatable; false: in the order in which "
        "they are played to the end, with the freshest weights.",
    )
    log_every: int = setting(
        250, "Environment steps between two lines of metrics.", unit="steps", low=1, high=STEPS
    )
    checkpoint_every: int = setting(
        500, "Environment steps between two checkpoints.", unit="steps", low=1, high=STEPS
    )
    keep_every: int | None = setting(
        None,
        "Environment steps between two checkpoints that are kept for good, each at the end of the episode "
        "that reaches them; null: only the last two and the best are.",
        unit="steps",
        low=1,
        high=STEPS,
    )
    eval_every: int = setting(
        2_000, "Environment steps between two points of the learning curve.", unit="steps", low=1, high=STEPS
    )


@dataclass
class EvaluateConfig(Schema):
    """Measure a run's deterministic policy on the fixed evaluation seeds."""

    run: str = setting(help="Run folder.")
    stage: str = setting("latest", "Which stage of the run.", choices=["latest", "bc", "offline", "online"])
    which: str = setting(
        "last",
        "The policy at the end of the stage, or that of the best point of its learning curve.",
        choices=["last", "best"],
    )
    episodes: int = setting(
        50, "Evaluation episodes: the first so many evaluation seeds.", low=1, high=10_000
    )
    workers: int | None = setting(
        None,
        "Processes that play, with the same figures; null: one for each core, once that saves time.",
        low=1,
        high=256,
    )


@dataclass
class ExportConfig(Schema):
    """Write a run's policy as a bundle that is deployed without PyTorch."""

    run: str = setting(help="Run folder.")
    out: str = setting(help="Folder of the bundle; a bundle that is there is replaced.")
    stage: str = setting("latest", "Which stage of the run.", choices=["latest", "bc", "offline", "online"])
    which: str = setting(
        "last",
        "The policy at the end of the stage, or that of the best point of its learning curve.",
        choices=["last", "best"],
    )
    max_action_delta: float = setting(
        2.0,
        "Largest change of each action signal from one tick to the next that is sent; 2 = no limit.",
        low=0,
        high=2,
    )
    max_observation_age_s: float | None = setting(
        None, "Older observations stop the robot; null: the robot says.", unit="s", low=0, high=60
    )
    critic: bool = setting(True, "The critics travel with the policy, if the agent has any.")
    alarm: bool = setting(True, "An alarm for states that are not normal travels with it.")
    alarm_rate: float = setting(
        1e-3,
        "Share of normal states that raise it; one each for what is new and for hints.",
        low=1e-6,
        high=0.5,
    )
    held_out: Any = setting(
        None,
        "Dataset of normal runs that nothing was trained on, or a list of them, for the alarm's thresholds; "
        "null: half of the run's own successful episodes.",
    )


@dataclass
class CompareConfig(Schema):
    """Play two bundles from the same starts, and say whether the new one may be promoted."""

    bundle: str = setting(help="Folder of the new bundle.")
    current: str = setting(help="Folder of the bundle whose place it is to take.")
    episodes: int = setting(100, "Evaluation seeds from which both are played.", low=2, high=10_000)
    margin: float = setting(
        0.05,
        "The new one's success may be lower by this much at most, as the 95% interval shows.",
        low=0,
        high=1,
    )
    out: str | None = setting(None, "Where the figures go; null: compare.json in the new bundle's folder.")


@dataclass
class DeployConfig(Schema):
    """Run a bundle's policy on a robot in a real-time loop."""

    bundle: str = setting(help="Folder of the bundle.")
    shadow: str | None = setting(
        None,
        "Folder of the bundle that acts instead, with `bundle` in its shadow: asked the same at every tick, "
        "logged and compared, but never sent to the robot.",
    )
    robot: Any = setting(MISSING, "The robot; see below.")
    operator: Any = setting(
        None, "Who may take over while the policy acts, a person or a script; null: nobody. See below."
    )
    unattended: str = setting(
        "stop",
        "Without a person at operator=: the robot does not begin, and stops; policy: it goes on alone.",
        choices=["stop", "policy"],
    )
    duration_s: float = setting(
        20.0, "How long to run the policy, homing not counted.", unit="s", low=0.01, high=1e7
    )
    record: str | None = setting(None, "Dataset folder for the deployed episodes; null records nothing.")
    out: str | None = setting(None, "Where the figures go; null: deploy.json in the bundle's folder.")
    seed: int = setting(0, "Seed of the start states.", low=0, high=MAX_RUN_SEED)
    estop_file: str | None = setting(None, "The robot stops at once when this file appears.")
    dead_man_s: float | None = setting(
        None,
        "Without the space bar held, or dead_man_file touched, for this long the robot stops at once.",
        unit="s",
        low=0.05,
        high=60,
    )
    dead_man_file: str | None = setting(None, "Touched again and again instead of the space bar held.")
    estop_port: int | None = setting(
        None, "A page with a STOP button is served at this port; 0: any that is free.", low=0, high=65535
    )
    estop_host: str = setting(
        "127.0.0.1", "Address that it is served at; another than this machine's own demands a token."
    )
    priority: int = setting(20, "Real-time priority asked for (SCHED_FIFO); 0 asks for none.", low=0, high=99)
    one_process: bool = setting(
        False, "Policy and recorder run in the robot's own process instead of one each, as for a debugger."
    )

    answers: str | None = setting(
        None,
        "What was answered at every tick (values, alarms, both actions), an .npz; null: only with shadow= or "
        "swap_file=, beside the figures.",
    )
    swap_file: str | None = setting(
        None, "Another bundle takes over between two ticks as soon as a line in this file names its folder."
    )
    rollback: RollbackConfig = setting(
        factory=RollbackConfig, help="When the bundle before acts again; see below."
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.shadow is not None and self.swap_file is not None:
            raise UsageError("shadow= and swap_file= do not go together: a shadow never acts")
        if self.dead_man_file is not None and self.dead_man_s is None:
            raise UsageError("dead_man_file= needs dead_man_s=, the time for which a touch holds")
        if self.estop_port is None and self.estop_host != "127.0.0.1":
            raise UsageError("estop_host= needs estop_port=, where the page with the STOP button is served")


@dataclass
class CalibrateConfig(Schema):
    """Find out, with a person's hands, how the servos of an arm are mounted; writes a readable YAML."""

    robot: Any = setting(MISSING, "The arm; see below.")
    out: str = setting(help="The calibration, a YAML file; an old one there is kept beside it as .bak.")


@dataclass
class VirtualArmConfig(Schema):
    """A virtual arm: servos that speak their real protocol at a serial port, moved by MuJoCo in real time."""

    port: str = setting(help="Path of the port, such as /tmp/arm; made here and removed at the end.")
    task: TaskConfig = setting(factory=TaskConfig, help="The arm's world; see below.")
    seed: int = setting(0, "Where things lie in it at the start.", low=0, high=MAX_RUN_SEED)
    baud: int = setting(
        1_000_000, "Rate that the servos are set to.", unit="bit/s", low=9_600, high=4_500_000
    )
    offset_ticks: int = setting(
        0,
        "Servos are mounted up to so far off, and some the other way round; 0: by the book.",
        unit="ticks",
        low=0,
        high=2_048,
    )
    assembly: int = setting(0, "Which pair of hands mounted them so.", low=0, high=MAX_RUN_SEED)
    wire_time: bool = setting(True, "Answers take the time that they take on the wire.")
    world: str | None = setting(
        None, "Path of a socket for what a person does beside it: look, put_back, hold, let_go, fault."
    )
    camera: str | None = setting(
        None,
        "Folder of a camera before it, made here: its frames at a socket, and its calibration; the cube has "
        "markers then.",
    )
    camera_fps: float = setting(30.0, "Frames per second of that camera.", unit="Hz", low=1, high=200)
    priority: int = setting(
        10, "Real-time priority asked for, so that answers come in time; 0 asks for none.", low=0, high=99
    )
    duration_s: float | None = setting(None, "How long; null: until Ctrl-C.", unit="s", low=0.1, high=1e7)
    faults: FaultsConfig = setting(factory=FaultsConfig, help="What goes wrong; see below.")


@dataclass
class DoctorConfig(Schema):
    """Measure what this host can do in real time, say what to mend, and judge each control rate."""

    rates: list[float] = setting(
        factory=lambda: [100.0, 200.0, 500.0, 1000.0], help="Control rates.", unit="Hz", low=1, high=10_000
    )
    seconds: float = setting(5.0, "Of each measurement.", unit="s", low=0.05, high=3_600)
    load: int | None = setting(
        None, "Busy processes beside the second half; null: one for each processor.", low=0, high=1024
    )
    bundle: str | None = setting(
        None, "Whose inference is measured; null: a policy of 2 x 256 made on the spot."
    )
    robot: Any = setting(None, "An arm whose bus is measured; nothing moves. null: none; see below.")
    camera: str | None = setting(None, "A camera (0, /dev/v4l/by-id/...), a video or a folder of images.")
    width: int = setting(640, "Of its frames.", unit="pixels", low=16, high=3840)
    height: int = setting(480, "Of its frames.", unit="pixels", low=16, high=2160)
    fps: float = setting(30.0, "Its frames per second.", unit="Hz", low=0.1, high=1000)
    priority: int = setting(20, "Real-time priority asked for (SCHED_FIFO); 0 asks for none.", low=0, high=99)
    cpu: int | None = setting(None, "The only processor to run on; null: any.", low=0, high=4095)
    spin_us: float | None = setting(
        None,
        "How long before a tick to be awake, with real-time scheduling only; null: as deployments are.",
        unit="us",
        low=0,
        high=10_000,
    )
    json: bool = setting(False, "Print plain JSON instead of tables.")
    out: str | None = setting(None, "A JSON file that the result is written to, beside the user's cache.")


@dataclass
class ReportConfig(Schema):
    """Write one self-contained HTML page about a run."""

    run: str = setting(help="Run folder.")
    out: str | None = setting(None, "The page; null: report.html in the run folder.")
    deploy: str | None = setting(
        None, "A deploy.json to show; null: that of the run's last exported bundle, if there is one."
    )


@dataclass
class DemoConfig(Schema):
    """The whole path on one task, from demonstrations to a deployed controller and a report."""

    task: TaskConfig = setting(factory=TaskConfig, help="What is to be done; see below.")
    robot: str = setting(
        "sim",
        "Where it is deployed; koch: to a virtual arm, through a serial port, its object seen by a camera.",
        choices=["sim", "koch"],
    )
    out: str = setting("demo", "Folder for everything that the demo makes.")
    episodes: int = setting(500, "Scripted episodes of mixed skill.", low=1, high=499_999)
    steps: int = setting(8_000, "Offline updates.", unit="updates", low=1, high=STEPS)
    env_steps: int = setting(10_000, "Online environment steps.", unit="steps", low=1, high=STEPS)
    duration_s: float | None = setting(
        None, "How long to deploy; null: 20 s, or 30 episodes of an arm.", unit="s", low=0.01, high=1e7
    )
    seed: int = setting(0, "Seed of everything.", low=0, high=MAX_RUN_SEED)


@dataclass
class BenchmarkConfig(Schema):
    """Play the cells of a suite, task x agent x seed, that are not finished; write its table and figure."""

    suite: str = setting("smoke", "Name of a file in configs/suite, or the path of a YAML of one's own.")
    tasks: Any = setting(None, "Only these tasks of it: [fetch_push]; null: all.")
    agents: Any = setting(None, "Only these agents of it: [awac,bc]; null: all.")
    seeds: Any = setting(None, "Only these seeds of it: [0]; null: all.")
    jobs: int = setting(1, "Cells at once; each keeps a core busy.", low=1, high=256)
    out: str = setting("benchmarks/results", "Folder of the results; each suite gets one in it.")
    work: str = setting("runs/benchmark", "Folder of data and runs; it can be removed afterwards.")
    files: dict[str, Any] = setting(
        factory=dict,
        help="Files that a suite asks for: files.door_human=PATH; cells that lack one are left out.",
    )
    peers: str | None = setting(
        None, "Python of an environment with the peers, see benchmarks/peers; null: their cells are left out."
    )


COMMANDS: dict[str, type[Schema]] = {
    "collect": CollectConfig,
    "pretrain": PretrainConfig,
    "finetune": FinetuneConfig,
    "evaluate": EvaluateConfig,
    "export": ExportConfig,
    "compare": CompareConfig,
    "deploy": DeployConfig,
    "calibrate": CalibrateConfig,
    "virtual-arm": VirtualArmConfig,
    "doctor": DoctorConfig,
    "report": ReportConfig,
    "demo": DemoConfig,
    "benchmark": BenchmarkConfig,
}

for _name, _schema in COMMANDS.items():
    ConfigStore.instance().store(group="schema", name=_name, node=_schema)
