"""Does a bundle's alarm fire where it should, and how often where it should not?

    robot-orl export run=demo/fetch_push/run out=bundles/push
    python benchmarks/alarm.py --bundle bundles/push --episodes 100 --planted 12

and set on runs of the policy itself, which nothing was trained on:

    robot-orl deploy bundle=bundles/push duration_s=120 record=data/deployed
    robot-orl export run=demo/fetch_push/run out=bundles/held held_out=data/deployed
    python benchmarks/alarm.py --bundle bundles/held --episodes 100 --planted 12 --name fetch_push_held_out

Normal: whole episodes of the policy from evaluation seeds, on which neither policy nor alarm was set.
Planted: others of the same, in which something goes wrong at tick 10, and the policy acts on what it is told.
Shares are of ticks, from tick 10 on where something is planted; `raised` is of episodes, in which the
out-of-distribution alarm was, `delay` the ticks until then.
"""

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

import envs  # noqa: F401  registers the tasks
from robot_orl.data.store.provenance import git_revision
from robot_orl.deploy.answers import Answer, Answerer
from robot_orl.deploy.bundle import Bundle
from robot_orl.deploy.promotion.alarm import Alarm
from robot_orl.seeds import EVALUATION_SEEDS
from robot_orl.statistics import wilson_interval
from robot_orl.tasks import TaskConfig, make_env
from robot_orl.types import Array, Spec

ONSET = 10  # tick
FIRST_PLANTED = 5_000  # of the evaluation seeds: others than the normal ones


@dataclass
class Scene:
    """What a plant may look at and change. flat: (D,), the observation, changed in place.

    before: (D,), the true one as it was just before the onset.  rng: of this episode.
    """

    env: gymnasium.Env[Any, Any]
    spec: Spec
    flat: Array
    before: Array
    rng: np.random.Generator
    is_onset: bool

    def signals(self, *names: str) -> list[int]:
        """Columns whose names begin so."""
        listed = [signal.name for group in self.spec.observation.values() for signal in group]
        return [number for number, name in enumerate(listed) if name.startswith(names)]

    def add(self, value: float | Array, *names: str) -> None:
        self.flat[self.signals(*names)] += value

    def freeze(self, *names: str) -> None:
        columns = self.signals(*names)
        self.flat[columns] = self.before[columns]


Plant = Callable[[Scene], None]


def object_off_the_table(scene: Scene) -> None:
    """It lies on the floor, 0.5 m beside the table; in the simulator, not only in what is told."""
    if scene.is_onset:
        pose = scene.env.unwrapped._sim.data.joint("object0:joint").qpos  # type: ignore[attr-defined]
        pose[:3] = (1.3, 1.6, 0.03)


def noise(scene: Scene) -> None:
    """Half a standard deviation of what is normal, of each signal by itself."""
    scene.flat += 0.5 * scene.rng.standard_normal(len(scene.flat)).astype(np.float32) * SCALE[0]


SCALE: list[Array] = []
REACH = np.array([0.4, 0.0, 0.0], np.float32)
PLANTS: dict[str, dict[str, Plant]] = {
    "fetch": {
        "object off the table": object_off_the_table,
        "object sensor frozen": lambda s: s.freeze("object", "achieved"),
        "object sensor says 0": lambda s: s.flat.__setitem__(s.signals("object_pos", "achieved"), 0.0),
        "gripper sensor frozen": lambda s: s.freeze("grip_"),
        "gripper sensor 5 cm off": lambda s: s.add(0.05, "grip_pos_x"),
        "goal 40 cm too far": lambda s: s.add(REACH, "desired"),
        "goal and object swapped": lambda s: s.flat.__setitem__(
            s.signals("desired", "achieved"), s.flat[[*s.signals("desired"), *s.signals("achieved")]]
        ),
        "noise, 0.5 deviations": noise,
        "everything frozen": lambda s: s.flat.__setitem__(slice(None), s.before),
    },
    "arm": {
        "lift joint 0.2 rad off": lambda s: s.add(0.2, "shoulder_lift_pos"),
        "lift joint frozen": lambda s: s.freeze("shoulder_lift"),
        "all joints frozen": lambda s: s.freeze("shoulder", "elbow", "wrist", "gripper"),
        "tool position frozen": lambda s: s.freeze("tool", "achieved"),
        "tool position 5 cm off": lambda s: s.add(0.05, "tool_pos_x", "achieved_pos_x"),
        "goal 40 cm too far": lambda s: s.add(REACH, "desired"),
        "noise, 0.5 deviations": noise,
        "everything frozen": lambda s: s.flat.__setitem__(slice(None), s.before),
    },
}


@dataclass
class Counts:
    """Of some episodes."""

    ticks: int = 0
    alarms: dict[str, int] = field(default_factory=lambda: {str(bit.name): 0 for bit in Alarm})
    any: int = 0
    episodes: int = 0
    raised: int = 0
    delays: list[int] = field(default_factory=list)
    successes: int = 0

    def add(self, answers: list[Answer], success: bool) -> None:
        alarms = [answer.alarm for answer in answers]
        self.ticks += len(alarms)
        for bit in Alarm:
            self.alarms[str(bit.name)] += sum(bool(alarm & bit) for alarm in alarms)
        self.any += sum(map(bool, alarms))
        self.episodes += 1
        self.successes += success
        novel = [tick for tick, alarm in enumerate(alarms) if alarm & Alarm.NOVEL]
        self.raised += bool(novel)
        self.delays += novel[:1]

    def to_dict(self) -> dict[str, Any]:
        ticks = max(1, self.ticks)
        return {
            "episodes": self.episodes,
            "success": self.successes / self.episodes,
            "ticks": self.ticks,
            "share": {name.lower(): count / ticks for name, count in self.alarms.items()}
            | {"any": self.any / ticks},
            "novel95": list(wilson_interval(self.alarms["NOVEL"], self.ticks)),
            "raised": self.raised / self.episodes,
            "delay_ticks": float(np.median(self.delays)) if self.delays else None,
        }


def episode(
    env: gymnasium.Env[Any, Any], answerer: Answerer, spec: Spec, seed: int, plant: Plant | None
) -> tuple[list[Answer], bool]:
    """The answers, from the onset on where something is planted, and the success at the end."""
    obs, _ = env.reset(seed=seed)
    rng = np.random.default_rng(seed)
    answers, before, tick, over = [], spec.flatten(obs), 0, False
    info: dict[str, Any] = {}
    while not over:
        flat = spec.flatten(obs)
        if plant is not None and tick >= ONSET:
            plant(Scene(env, spec, flat, before, rng, tick == ONSET))
        else:
            before = flat.copy()
        answer = answerer(flat)
        if plant is None or tick >= ONSET:
            answers.append(answer)
        obs, _, terminated, truncated, info = env.step(answer.action)
        over, tick = terminated or truncated, tick + 1
    return answers, bool(info["success"])


def measure(bundle: Bundle, normal: int, planted: int) -> dict[str, Any]:
    env = make_env(TaskConfig(bundle.task, dict(bundle.task_kwargs)))
    answerer, spec = Answerer(bundle), bundle.spec
    if bundle.calibration is None:
        raise SystemExit(f"{bundle.path} has no alarm; export it with its run's data in place")
    # The spread of a signal by itself is on the diagonal of the covariance that the whitening undoes.
    inverse = np.linalg.inv(bundle.calibration.whiten.astype(np.float64))
    SCALE[:] = [np.sqrt((inverse * inverse).sum(axis=0)).astype(np.float32)]
    plants: dict[str, Plant | None] = {"normal": None, **PLANTS[bundle.task.split("_")[0]]}
    found = {}
    for name, plant in plants.items():
        counts = {name: Counts()}
        if plant is None:  # hints in episodes that fail later are no false ones
            counts |= {f"{name}, succeeded": Counts(), f"{name}, failed": Counts()}
        first, number = (0, normal) if plant is None else (FIRST_PLANTED, planted)
        for seed in EVALUATION_SEEDS[first : first + number]:
            answers, success = episode(env, answerer, spec, seed, plant)
            kinds = (name, f"{name}, {'succeeded' if success else 'failed'}")
            for kind in kinds if plant is None else kinds[:1]:
                counts[kind].add(answers, success)
        for kind, of_kind in counts.items():
            if of_kind.episodes:
                found[kind] = of_kind.to_dict()
                print(row(kind, found[kind]), flush=True)
    return found


HEAD = (
    "| | episodes | success | out of distribution | low value | critics disagree | raised | delay |\n"
    + "|-" * 8
    + "|"
)


def row(name: str, counts: dict[str, Any]) -> str:
    share, delay = counts["share"], counts["delay_ticks"]
    percent = " | ".join(f"{share[key]:.2%}" for key in ("novel", "low_value", "unsure"))
    told = "-" if delay is None else f"{delay:g}"
    known = f"{name} | {counts['episodes']} | {counts['success']:.0%}"
    return f"| {known} | {percent} | {counts['raised']:.0%} | {told} |"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--episodes", type=int, default=200, help="normal ones")
    parser.add_argument("--planted", type=int, default=20, help="of each kind")
    parser.add_argument("--name", help="of the result; the task's without it")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/alarm"))
    words = parser.parse_args()
    bundle = Bundle.load(words.bundle)
    print(HEAD)
    found = measure(bundle, words.episodes, words.planted)
    words.out.mkdir(parents=True, exist_ok=True)
    name = words.name or bundle.task
    document = {
        "task": bundle.task,
        "critics": 0 if bundle.critic is None else bundle.critic.members,
        "alarm": bundle.manifest["alarm"],
        "git_revision": git_revision(),
        "episodes": {"normal": words.episodes, "planted": words.planted},
        "onset_tick": ONSET,
        "results": found,
    }
    (words.out / f"{name}.json").write_text(json.dumps(document, indent=1) + "\n")
    table = "\n".join([HEAD, *(row(name, counts) for name, counts in found.items())])
    (words.out / f"{name}.md").write_text(table + "\n")


if __name__ == "__main__":
    main()
