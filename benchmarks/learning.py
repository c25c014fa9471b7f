"""Success of data, cloning, offline and finetuned AWAC over seeds, by the commands that a user would run.

    python benchmarks/learning.py --task fetch_pick_and_place --seeds 0 1 2 --work runs/bench

The table is of evaluation seeds that no setting was chosen on; the first ones stand in the JSON as well.
Cells are resumable: a finished one is not repeated. Writes one JSON per seed and a Markdown table to
`benchmarks/results/<task>/`.
"""

import argparse
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import envs
from robot_orl.policies import load_policy
from robot_orl.seeds import EVALUATION_SEEDS
from robot_orl.statistics import wilson_interval
from robot_orl.tasks import spec_of
from robot_orl.training.evaluate import evaluate

STAGES = {"bc": "behaviour cloning", "offline": "AWAC, offline", "online": "AWAC, finetuned"}
HELD_OUT = slice(1000, 1200)
KEPT = ("task", "agent", "seed", "data", *STAGES, "wall_s", "packages")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--task", default="fetch_pick_and_place")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--episodes", type=int, default=500, help="scripted demonstrations")
    parser.add_argument("--steps", type=int, default=8000, help="offline updates")
    parser.add_argument("--env-steps", type=int, default=10_000, help="online environment steps")
    parser.add_argument("--final-episodes", type=int, default=100, help="evaluation episodes per stage")
    parser.add_argument("--work", type=Path, default=Path("runs/benchmark"), help="data and run folders")
    parser.add_argument("--jobs", type=int, default=1, help="seeds at once; each takes a core")
    args = parser.parse_args()
    results = Path(__file__).parent / "results" / args.task
    results.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(args.jobs) as pool:
        cells = list(pool.map(lambda seed: cell(args, seed), args.seeds))
    for summary in cells:
        (results / f"seed_{summary['seed']}.json").write_text(json.dumps(summary, indent=1) + "\n")
    text = table(cells)
    (results / "table.md").write_text(text)
    print(text)


def cell(args: argparse.Namespace, seed: int) -> dict[str, Any]:
    """One seed: of the data, of the weights, of exploration. Returns the run's summary without paths."""
    data, run = args.work / f"{args.task}_{seed}" / "data", args.work / f"{args.task}_{seed}" / "run"
    final = f"final_episodes={args.final_episodes}"
    robot_orl("collect", f"task={args.task}", f"episodes={args.episodes}", f"out={data}", f"seed={seed}")
    robot_orl("pretrain", f"data={data}", f"out={run}", f"steps={args.steps}", f"seed={seed}", final)
    robot_orl("finetune", f"run={run}", f"env_steps={args.env_steps}", final)
    summary = json.loads((run / "summary.json").read_text())
    summary["data"].pop("paths")
    return {key: summary[key] for key in KEPT} | {"held_out": held_out(args.task, run)}


def held_out(task: str, run: Path) -> dict[str, Any]:
    """Each stage on evaluation seeds that no setting was chosen on: `evaluate` uses the first ones."""
    env = envs.make(task)
    found = {}
    for stage in STAGES:
        policy, _ = load_policy(run / "checkpoints" / f"{stage}.ckpt", spec_of(env))
        found[stage] = evaluate(env, policy, EVALUATION_SEEDS[HELD_OUT]).to_dict()
    return found


def robot_orl(*words: str) -> None:
    subprocess.run([sys.executable, "-m", "robot_orl.cli", *words], check=True, stdout=subprocess.DEVNULL)


def table(cells: list[dict[str, Any]]) -> str:
    """Success on held-out seeds per run seed, and over all of them with its Wilson interval."""
    seeds = [cell["seed"] for cell in cells]
    lines = [
        f"| success [%] | {' | '.join(f'seed {seed}' for seed in seeds)} | all seeds (95% interval) |",
        f"| --- | {' | '.join('---:' for _ in seeds)} | ---: |",
    ]
    rows = {"demonstrations": [(c["data"]["success"], c["data"]["episodes"]) for c in cells]}
    for stage, name in STAGES.items():
        rows[name] = [(c["held_out"][stage]["success"], c["held_out"][stage]["episodes"]) for c in cells]
    for name, figures in rows.items():
        total = sum(episodes for _, episodes in figures)
        successes = round(sum(share * episodes for share, episodes in figures))
        low, high = wilson_interval(successes, total)
        each = " | ".join(f"{100 * share:.1f}" for share, _ in figures)
        pooled = f"{100 * successes / total:.1f} ({100 * low:.1f} .. {100 * high:.1f})"
        lines.append(f"| {name} | {each} | {pooled} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
