"""How many environment steps does somebody save who takes over from the policy while it is finetuned?

    python benchmarks/intervention.py --out benchmarks/results/interventions

Pick and place from few and bad demonstrations. Each seed is pretrained once, and finetuned from there alone
and with `operator=expert`, a script that takes over by distance and lets go again: everything else is equal.
Once more, its steps are learned from as the policy's own, without a share of every batch. All stop at the
first point of the learning curve, on validation episodes, where the policy alone succeeds in 90%, or after
--env-steps; a point is known when the next one begins. The policy at the end is measured once more on
evaluation episodes, on which nothing was chosen. Figures of a run are kept as soon as it ends; with the same
command it goes on where it was. One run at a time.
"""

import argparse
import json
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from statistics import mean
from typing import Any

import torch

from robot_orl.data.store.provenance import git_revision
from robot_orl.statistics import wilson_interval

WAYS = {
    "alone": [],
    "expert": ["operator=expert"],
    "expert-unshared": ["operator=expert", "intervention_share=0"],
}
WORDS = {
    "alone": "the policy",
    "expert": "an expert takes over",
    "expert-unshared": "an expert, without a share of its own in batches",
}
GOAL = 0.9
Run = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--task", default="fetch_pick_and_place")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=WAYS)
    parser.add_argument("--demonstrations", type=int, default=40)
    parser.add_argument("--skill-high", type=float, default=0.7, help="of the demonstrations' skills")
    parser.add_argument("--pretrain-steps", type=int, default=2_000)
    parser.add_argument("--env-steps", type=int, default=8_000)
    parser.add_argument("--eval-every", type=int, default=500)
    parser.add_argument("--eval-episodes", type=int, default=50, help="of a point of the learning curve")
    parser.add_argument("--final-episodes", type=int, default=100, help="at the end, on evaluation seeds")
    parser.add_argument("--work", type=Path, default=Path("runs/interventions"), help="data and runs")
    parser.add_argument("--out", type=Path, help="folder for table.md and a JSON file of each run")
    args = parser.parse_args()
    out = args.out or args.work
    out.mkdir(parents=True, exist_ok=True)
    for seed in args.seeds:
        for way in args.ways:
            path = out / f"{args.task}-{way}-{seed}.json"
            if not path.exists():
                path.write_text(json.dumps(measure(args, seed, way), indent=1) + "\n")
            (out / "table.md").write_text(table(runs_in(out, args.task), args))
    print(table(runs_in(out, args.task), args))


def measure(args: argparse.Namespace, seed: int, way: str) -> Run:
    """One run, from its demonstrations on."""
    start, run = pretrained(args, seed), args.work / f"{args.task}-{way}-{seed}"
    if not run.exists():
        shutil.copytree(start, run)
    successes = round(GOAL * args.eval_episodes)
    command(
        *("finetune", f"run={run}", f"env_steps={args.env_steps}", *WAYS[way]),
        *(f"eval_every={args.eval_every}", f"eval_episodes={args.eval_episodes}"),
        f"stop_at_success={wilson_interval(successes, args.eval_episodes)[0] - 1e-9}",
        f"final_episodes={args.final_episodes}",
    )
    lines = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    summary = json.loads((run / "summary.json").read_text())
    rows = [line for line in lines if line["stage"] == "online" and "eval/success" in line]
    curve = [row for row in rows if row["eval/episodes"] == args.eval_episodes]
    points = [point(row) for row in curve]
    return {
        "task": args.task,
        "seed": seed,
        "way": way,
        "settings": {k: v for k, v in vars(args).items() if k not in ("work", "out", "seeds", "ways")},
        "made_with": {
            "revision": git_revision(),
            "python": platform.python_version(),
            "torch": torch.__version__,
            "machine": f"{platform.machine()}, {platform.processor() or 'processor unknown'}",
        },
        "demonstrations": {k: v for k, v in summary.get("data", {}).items() if k != "paths"},
        "offline": summary["offline"],
        "curve": points,
        "reached_at": next((p["env_steps"] for p in points if p["success"] >= GOAL), None),
        "online": summary["online"],
        "interventions": summary.get("interventions"),
        "wall_s": summary["wall_s"],
    }


def pretrained(args: argparse.Namespace, seed: int) -> Path:
    """The run folder from which both ways begin."""
    data, run = args.work / f"{args.task}-data-{seed}", args.work / f"{args.task}-pretrained-{seed}"
    command(
        *("collect", f"task={args.task}", "operator=scripted", f"operator.skill_high={args.skill_high}"),
        *(f"episodes={args.demonstrations}", f"seed={seed}", f"out={data}"),
    )
    command(
        *("pretrain", "agent=awac", f"data={data}", f"out={run}", f"seed={seed}", "baseline_steps=0"),
        *(f"steps={args.pretrain_steps}", f"eval_every={args.pretrain_steps}"),
        f"final_episodes={args.final_episodes}",
    )
    return run


def command(*words: str) -> None:
    print("robot-orl", *words, flush=True)
    subprocess.run([sys.executable, "-m", "robot_orl.cli", *words], check=True)


def point(row: Run) -> Run:
    low, high = row["eval/wilson_low"], row["eval/wilson_high"]
    return {"env_steps": row["env_steps"], "success": row["eval/success"], "wilson95": [low, high]}


def runs_in(out: Path, task: str) -> list[Run]:
    return [json.loads(path.read_text()) for path in sorted(out.glob(f"{task}-*-*.json"))]


def table(runs: list[Run], args: argparse.Namespace) -> str:
    lines = [
        "| seed | who acts | offline [%] | steps to 90% | at the end [%] "
        "| interventions | their steps | saved |",
        "| --: | :-- | --: | --: | --: | --: | --: | --: |",
    ]
    for run in sorted(runs, key=lambda run: (run["seed"], run["way"])):
        helped = run["interventions"]
        theirs = f"{helped['step_share']:.0%}" if helped else ""
        alone = steps_of(runs, run["seed"], "alone")
        saved = f"{1 - run['reached_at'] / alone:.0%}" if helped and run["reached_at"] and alone else ""
        reached = f"{run['reached_at']:,}" if run["reached_at"] else f"> {run['online']['env_steps']:,}"
        cells = [run["seed"], WORDS[run["way"]], share(run["offline"]), reached, share(run["online"])]
        cells += [helped["interventions"] if helped else "", theirs, saved]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    for way in WAYS:
        steps = [run["reached_at"] for run in runs if run["way"] == way]
        if steps and None not in steps:
            lines.append(f"| mean of {len(steps)} | {WORDS[way]} | | {mean(steps):,.0f} | | | | |")
    how = (
        f"{args.task}, {args.demonstrations} scripted demonstrations of skill up to {args.skill_high:g}, "
        f"{args.pretrain_steps:,} offline updates. Steps: environment steps, the expert's included, until "
        f"the policy alone first succeeds in 90% of {args.eval_episodes} validation episodes, measured every "
        f"{args.eval_every}. Offline, at the end: of the policy alone on {args.final_episodes} evaluation "
        "episodes, in brackets Wilson's 95% interval; a run ends one point after the one that was good "
        "enough. Saved: of the steps that the policy needed alone."
    )
    return "\n".join([*lines, "", how]) + "\n"


def steps_of(runs: list[Run], seed: int, way: str) -> int | None:
    found = [run["reached_at"] for run in runs if (run["seed"], run["way"]) == (seed, way)]
    return found[0] if found else None


def share(stage: Run) -> str:
    low, high = stage["wilson95"]
    return f"{stage['success']:.0%} ({100 * low:.0f} .. {100 * high:.0f})".replace("%", "")


if __name__ == "__main__":
    main()
