"""What each command does, in the words of the library. Imports are local: `deploy` loads no PyTorch."""

import json
import os
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from robot_orl.config import (
    CollectConfig,
    DeployConfig,
    EvaluateConfig,
    ExportConfig,
    FinetuneConfig,
    PretrainConfig,
    ReportConfig,
)
from robot_orl.data.reader import Dataset
from robot_orl.errors import DataError, RunError, UsageError
from robot_orl.interrupt import Interrupted, StopFlag
from robot_orl.progress import Bar, track
from robot_orl.registry import factory
from robot_orl.tasks import TaskConfig, make_env, spec_of, task_env

if TYPE_CHECKING:
    from robot_orl.data.replay import Replay
    from robot_orl.training.run import Run

out = Console(highlight=False, soft_wrap=True)


def collect(cfg: CollectConfig) -> None:
    from data_collection.record import missing_seeds, record

    env = make_env(cfg.task)
    spec = spec_of(env)
    operator = factory("operator", cfg.operator.name)(cfg.operator, spec)
    path = Path(cfg.out)
    dataset = Dataset.open(path, allow_empty=True) if (path / "dataset.json").exists() else None
    if dataset is not None and (writers := dataset.info().writers):
        raise UsageError(f"dataset {path} is being written by {', '.join(writers)}")
    if dataset is not None:
        _require_same_operator(cfg, dataset)
    seeds = missing_seeds(dataset, operator.name, cfg.seed, cfg.episodes)
    if not seeds:
        out.print(
            f"{path} already holds these {cfg.episodes} episodes of '{operator.name}' with seed={cfg.seed}; "
            "choose more episodes= or another seed="
        )
        return
    from robot_orl.data.writer import SegmentWriter

    with (
        StopFlag() as stop,
        SegmentWriter(path, spec, operator.name, asdict(cfg), cfg.task.kwargs) as writer,
        Bar(f"collect: {operator.name}", cfg.episodes, cfg.episodes - len(seeds)) as bar,
    ):
        record(env, operator, writer, seeds, bar, stop, cfg.realtime)
    info = Dataset.open(path).info()
    out.print(
        f"{path}: {info.episodes} episodes, {info.transitions} transitions, {info.success:.0%} successful"
    )


def pretrain(cfg: PretrainConfig) -> None:
    from robot_orl.data.replay import Replay
    from robot_orl.training.pretrain import Cadence, Offline
    from robot_orl.training.pretrain import pretrain as train
    from robot_orl.training.run import Run

    _set_threads(cfg.threads)
    paths = data_paths(cfg.data)
    datasets = open_datasets(paths)
    spec = datasets[0].spec
    task = TaskConfig(spec.task, dict(datasets[0].segments[0].attributes["env_kwargs"]))
    env = make_env(task)
    replay = Replay(spec, getattr(task_env(env), "reward_for", None) if spec.desired_goal else None)
    _require_run_folder(Path(cfg.out))
    with StopFlag() as stop, Run(Path(cfg.out)) as run:
        config = asdict(cfg) | {"data": [str(path.resolve()) for path in paths], "task": asdict(task)}
        _start_run(run, config)
        load(replay, datasets)
        run.update_summary(_facts(cfg, spec.task, datasets))
        cadence = Cadence(
            cfg.log_every, cfg.eval_every, cfg.eval_episodes, cfg.checkpoint_every, cfg.final_episodes
        )
        work = Offline(run, env, replay, fingerprint_of(datasets), cfg.seed, cadence, stop)
        if cfg.agent.name == "bc":
            train(work, "bc", cfg.agent, cfg.steps)
        else:
            if cfg.baseline_steps:
                train(work, "bc", _baseline(), cfg.baseline_steps)
            train(work, "offline", cfg.agent, cfg.steps)
        print_summary(run)


def finetune(cfg: FinetuneConfig) -> None:
    from robot_orl.data.replay import Replay
    from robot_orl.training.finetune import Online, Recipe
    from robot_orl.training.finetune import finetune as train
    from robot_orl.training.pretrain import Cadence
    from robot_orl.training.run import Run
    from robot_orl.training.state import unpack

    _set_threads(cfg.threads)
    with StopFlag() as stop, Run.open(cfg.run) as run:
        if not run.has("offline"):
            raise UsageError(f"run {cfg.run} has no finished offline agent to finetune; pretrain it first")
        data = cfg.data if cfg.data is not None else list(run.part("data"))
        datasets = open_datasets(data_paths(data))
        env = make_env(run.task)
        spec = spec_of(env)
        stage = run.latest_stage()
        require_spec(spec, unpack(run.load(stage)).spec, f"checkpoint '{stage}' of run {cfg.run}")
        replay = Replay(spec, getattr(task_env(env), "reward_for", None) if spec.desired_goal else None)
        load(replay, datasets)
        cadence = Cadence(cfg.log_every, cfg.eval_every, cfg.eval_episodes, 1, cfg.final_episodes)
        seed = run.part("seed")
        work = Online(run, env, replay, fingerprint_of(datasets), seed, cfg.agent, cadence, stop)
        recipe = Recipe(cfg.env_steps, cfg.updates_per_step, cfg.offline_share, cfg.noise, cfg.warmup_steps)
        run.update_summary({"finetune": asdict(cfg) | {"data": [str(d.path.resolve()) for d in datasets]}})
        if train(work, recipe) is None:
            out.print(
                f"run {cfg.run} has its {cfg.env_steps} environment steps already; ask for more env_steps="
            )
        print_summary(run)


def evaluate(cfg: EvaluateConfig) -> None:
    from robot_orl.seeds import EVALUATION_SEEDS
    from robot_orl.training.evaluate import evaluate as measure
    from robot_orl.training.pretrain import policy_of
    from robot_orl.training.run import Run
    from robot_orl.training.state import unpack

    _set_threads(1)
    run = Run.open(cfg.run)
    stage = run.latest_stage() if cfg.stage == "latest" else cfg.stage
    state = unpack(run.load(stage))
    env = make_env(run.task)
    _ = run.summary  # a damaged one is named before the work, not after it
    require_spec(spec_of(env), state.spec, f"checkpoint '{stage}' of run {cfg.run}")
    seeds = EVALUATION_SEEDS[: cfg.episodes]
    result = measure(env, policy_of(state), seeds, lambda items: track(items, f"evaluate: {stage}"))
    with run:
        entry = result.to_dict() | {
            "env_steps": state.progress.env_steps,
            "updates": state.progress.updates,
        }
        run.update_summary({stage: entry})
    low, high = result.wilson95
    out.print(
        f"{stage}: success {result.success:.1%} (95% interval {low:.1%} .. {high:.1%}) at the last step, "
        f"{result.success_any:.1%} at any step, return {result.episode_return:.1f}; {cfg.episodes} episodes"
    )


def export(cfg: ExportConfig) -> None:
    from robot_orl.deploy.safety import Limits
    from robot_orl.training.export import export as write
    from robot_orl.training.run import Run
    from robot_orl.training.state import unpack

    run = Run.open(cfg.run)
    stage = run.latest_stage() if cfg.stage == "latest" else cfg.stage
    saved = run.load(stage)
    state = unpack(saved)
    require_spec(spec_of(make_env(run.task)), state.spec, f"checkpoint '{stage}' of run {cfg.run}")
    write(state, Path(cfg.out), run.task, saved["fingerprint"], Limits())
    with run:
        run.update_summary({"bundle": str(Path(cfg.out).resolve())})
    out.print(f"{cfg.out}: policy '{stage}' of {cfg.run} as a bundle")


def deploy(cfg: DeployConfig) -> None:
    from robot_orl.data.background import BackgroundWriter
    from robot_orl.data.writer import SegmentWriter
    from robot_orl.deploy.bundle import Bundle
    from robot_orl.deploy.loop import run as control
    from robot_orl.seeds import deployment_seed

    bundle = Bundle.load(cfg.bundle)
    robot = factory("robot", cfg.robot.name)(cfg.robot, TaskConfig(bundle.task, dict(bundle.task_kwargs)))
    writer = None
    first = 0
    if cfg.record is not None:
        path = Path(cfg.record)
        if (path / "dataset.json").exists():
            first = len(Dataset.open(path, allow_empty=True).records)
        writer = BackgroundWriter(SegmentWriter(path, robot.spec, "deploy", asdict(cfg), bundle.task_kwargs))
    file = Path(cfg.out) if cfg.out else Path(cfg.bundle) / "deploy.json"
    if file.is_dir() or not os.access(file if file.exists() else file.parent, os.W_OK):
        raise UsageError(f"cannot write {file}; choose another out=")  # before anything moves
    ticks = round(cfg.duration_s * bundle.spec.control_hz)
    with Bar(f"deploy: {cfg.robot.name}", ticks) as bar:
        report = control(
            robot,
            bundle,
            duration_s=cfg.duration_s,
            writer=writer,
            seed=deployment_seed(cfg.seed, first),
            realtime_priority=cfg.priority or None,
            on_tick=lambda done, total: bar.advance(done - bar.done),
        )
    failure = _close(writer)
    try:
        file.write_text(json.dumps(report.to_dict(), indent=2) + "\n")
    except OSError as error:
        raise RunError(f"cannot write {file}: {error.strerror}") from error
    print_deployment(report.to_dict())
    out.print(f"written to {file}")
    if report.fault or failure:
        raise RunError(f"deployment stopped by a fault: {report.fault or failure}")
    if report.stopped_by == "interrupt":
        raise Interrupted("interrupted; the robot was stopped and what was recorded is kept")


def _close(writer: Any) -> str | None:
    try:
        if writer is not None:
            writer.close()
    except RunError as error:
        return str(error)
    return None


def report(cfg: ReportConfig) -> None:
    from robot_orl.report.page import write_report
    from robot_orl.training.run import Run

    path = write_report(Run.open(cfg.run), cfg.out, cfg.deploy)
    out.print(f"report: {path}")


def dataset_info(path: str, as_json: bool) -> None:
    info = Dataset.open(path, allow_empty=True).info()
    if as_json:
        print(json.dumps(info.to_dict()))
        return
    table = Table(show_header=False, box=None, padding=(0, 2))
    for name, value in info.rows():
        table.add_row(name, value)
    Console(highlight=False, width=None if sys.stdout.isatty() else 200).print(table)


# shared steps


def data_paths(data: Any) -> list[Path]:
    """One folder or a list of folders."""
    paths = [data] if isinstance(data, str) else data
    if not isinstance(paths, list) or not paths or not all(isinstance(path, str) for path in paths):
        raise UsageError(f"data={data} is not a folder or a list of folders such as [data/a,data/b]")
    return [Path(path) for path in paths]


def open_datasets(paths: list[Path]) -> list[Dataset]:
    """Raises: DataError: one is missing, damaged, or of another task than the first."""
    if len({path.resolve() for path in paths}) < len(paths):
        raise UsageError(f"data=[{','.join(map(str, paths))}] names a folder twice")
    datasets = [Dataset.open(path) for path in paths]
    for dataset in datasets[1:]:
        require_spec(datasets[0].spec, dataset.spec, f"dataset {dataset.path}")
    return datasets


def require_spec(wanted: Any, found: Any, what: str) -> None:
    if found.task != wanted.task:
        raise DataError(f"{what} is of task '{found.task}', not '{wanted.task}'")
    if found != wanted:
        raise DataError(f"{what} has other observations, actions or rates than task '{wanted.task}' has now")


def fingerprint_of(datasets: list[Dataset]) -> str:
    return "+".join(dataset.fingerprint() for dataset in datasets)


def load(replay: "Replay", datasets: list[Dataset]) -> None:
    """All episodes into RAM, each checksum verified."""
    with Bar("load data", sum(len(dataset.episodes) for dataset in datasets)) as bar:
        for dataset in datasets:
            require_spec(replay.spec, dataset.spec, f"dataset {dataset.path}")
            for episode in dataset.load_all(sim_state=False):
                replay.add(episode)
                bar.advance()


def _require_same_operator(cfg: CollectConfig, dataset: Dataset) -> None:
    """Episodes are known by operator and start seed, so one seed goes with one way of acting."""
    for segment in dataset.segments:
        before = segment.attributes["config"]
        if (before.get("operator", {}).get("name"), before.get("seed")) != (cfg.operator.name, cfg.seed):
            continue
        if differing := _differing(before["operator"], asdict(cfg.operator), "operator."):
            raise UsageError(
                f"{dataset.path} holds episodes of '{cfg.operator.name}' with seed={cfg.seed} and other "
                f"values of: {', '.join(differing)}; choose another seed= or out="
            )


def _require_run_folder(path: Path) -> None:
    """Raises: UsageError: the folder holds something else, such as a dataset or a bundle."""
    if path.is_dir() and not (path / "config.yaml").is_file():
        others = {entry.name for entry in path.iterdir()} - {".lock", "config.yaml.partial"}
        if others:
            raise UsageError(f"{path} is not empty and not a run; choose another out=")


def _differing(before: Any, now: Any, prefix: str = "") -> list[str]:
    """Dotted names of the fields of two nested mappings that differ."""
    if not isinstance(before, dict) or not isinstance(now, dict):
        return [] if before == now else [prefix.rstrip(".")]
    names = {**before, **now}
    return [n for name in names for n in _differing(before.get(name), now.get(name), f"{prefix}{name}.")]


def _start_run(run: "Run", config: dict[str, Any]) -> None:
    """A new run keeps its configuration; an old one must have been asked for the same."""
    if not (run.path / "config.yaml").is_file():
        run.save_config(config)
        return
    from omegaconf import OmegaConf

    before = OmegaConf.to_container(run.config)
    assert isinstance(before, dict)
    run.part("agent")
    cadence = {"steps", "baseline_steps", "log_every", "eval_every", "eval_episodes"}
    free = cadence | {"checkpoint_every", "final_episodes", "threads", "out"}
    kept = [name for name in config if name not in free]
    differing = [n for name in kept for n in _differing(before.get(name), config[name], f"{name}.")]
    if differing:
        raise UsageError(
            f"run {run.path} exists with other values of: {', '.join(differing)}; choose another out="
        )
    run.save_config(config)


def _facts(cfg: PretrainConfig, task: str, datasets: list[Dataset]) -> dict[str, Any]:
    from robot_orl.data.provenance import git_revision, package_versions

    infos = [dataset.info() for dataset in datasets]
    episodes = sum(info.episodes for info in infos)
    return {
        "task": task,
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


def _baseline() -> Any:
    from robot_orl.registry import schema_of

    return schema_of("agent", "bc")()


def _set_threads(threads: int) -> None:
    import torch

    torch.set_num_threads(threads)


def print_summary(run: "Run") -> None:
    """Success of data and stages as a table."""
    summary = run.summary
    table = Table(box=None, padding=(0, 1))  # fits into 80 columns
    for column in ("", "success", "95% interval", "any step", "episodes", "updates", "env steps"):
        table.add_column(column, justify="left" if column == "" else "right", no_wrap=True)
    if data := summary.get("data"):
        table.add_row("data", f"{data['success']:.0%}", "", "", str(data["episodes"]), "", "")
    for stage in ("bc", "offline", "online"):
        if stage in summary:
            entry = summary[stage]
            low, high = entry["wilson95"]
            table.add_row(
                stage,
                f"{entry['success']:.0%}",
                f"{low:.0%} .. {high:.0%}",
                f"{entry['success_any']:.0%}",
                str(entry["episodes"]),
                str(entry["updates"]),
                str(entry["env_steps"]),
            )
    out.print(table)


def print_deployment(figures: dict[str, Any]) -> None:
    """The figures that decide whether one dares to run it again."""
    period, inference, success = figures["period_error_us"], figures["inference_us"], figures["success"]
    low, high = success["wilson95"]
    rate = "unknown" if success["rate"] is None else f"{success['rate']:.0%} ({low:.0%} .. {high:.0%})"
    table = Table(show_header=False, box=None, padding=(0, 2))
    for name, value in (
        (
            "ticks",
            f"{figures['ticks']} at {figures['control_hz']:g} Hz, {figures['missed_slots']} slots missed",
        ),
        ("period error [us]", f"p50 {period['p50']:.0f}, p99 {period['p99']:.0f}, max {period['max']:.0f}"),
        (
            "inference [us]",
            f"p50 {inference['p50']:.0f}, p99 {inference['p99']:.0f}, max {inference['max']:.0f}",
        ),
        ("success", f"{rate} of {success['episodes']} episodes"),
        ("interventions", ", ".join(f"{name} {count}" for name, count in figures["safety"].items())),
        ("stopped by", figures["fault"] or figures["stopped_by"]),
    ):
        table.add_row(name, value)
    out.print(table)


RUN: dict[str, Callable[[Any], None]] = {
    "collect": collect,
    "pretrain": pretrain,
    "finetune": finetune,
    "evaluate": evaluate,
    "export": export,
    "deploy": deploy,
    "report": report,
}
