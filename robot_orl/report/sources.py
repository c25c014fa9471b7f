"""What a report is made of: read from the run folder, its datasets and deploy.json, or said to be missing."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from robot_orl.data.query import select
from robot_orl.data.store.reader import Dataset
from robot_orl.errors import DataError, UsageError
from robot_orl.training.runs.run import STAGES, Run, read_metrics

DEPLOY_FIELDS = (
    "robot",
    "control_hz",
    "period_ms",
    "slots",
    "ticks",
    "missed_slots",
    "period_error_us",
    "inference_us",
    "histograms",
    "clock",
    "realtime",
    "safety",
    "success",
    "stopped_by",
)


@dataclass(frozen=True)
class Sources:
    """deploy: contents of deploy.json, or None.  missing: a sentence for each part that is not there,
    by part: 'data', 'deploy'."""

    run: Run
    config: dict[str, Any]
    summary: dict[str, Any]
    metrics: list[dict[str, Any]]
    datasets: list[Dataset]
    deploy: dict[str, Any] | None
    missing: dict[str, str] = field(default_factory=dict)

    @property
    def stages(self) -> list[str]:
        """The finished stages, in the order of training."""
        return [stage for stage in STAGES if stage in self.summary]

    def changed_data(self) -> int | None:
        """How many episodes were learned from, where the data are not those any more; None: they are."""
        facts = self.summary.get("data", {})
        now = "+".join(dataset.fingerprint() for dataset in self.datasets)
        return None if facts.get("fingerprint", now) == now else int(facts["episodes"])

    @property
    def task(self) -> str:
        return str(self.config["task"]["name"])


def read_sources(run: Run, deploy: str | None) -> Sources:
    """deploy: a deploy.json that must be there; None: that of the run's bundle, if there is one.

    Raises: UsageError: `deploy` is not one of this task.  DataError: the run's own files are damaged.
    """
    config: Any = OmegaConf.to_container(run.config)
    for name in ("task", "agent", "data", "seed"):
        run.part(name)
    config["task"].setdefault("kwargs", {})
    summary, missing = run.summary, {}
    datasets, lost = _datasets(list(config["data"]), config.get("where"))
    if lost:
        missing["data"] = lost
    figures: dict[str, Any] | None = None
    if deploy is not None:
        figures = read_deploy(Path(deploy))
        if figures.get("task") != config["task"]["name"]:
            raise UsageError(
                f"deploy={deploy} is of task '{figures.get('task')}', the run of '{config['task']['name']}'"
            )
    elif "bundle" not in summary:
        missing["deploy"] = "This run was not exported and deployed yet, so there is no timing to show."
    else:
        file = Path(summary["bundle"]) / "deploy.json"
        try:
            figures = read_deploy(file)
        except UsageError as error:
            missing["deploy"] = f"There is no deployment to show: {error}."
    return Sources(run, config, summary, read_metrics(run.path), datasets, figures, missing)


def read_deploy(file: Path) -> dict[str, Any]:
    """Raises: UsageError: there is no such file.  DataError: it is not what `deploy` writes."""
    try:
        figures = json.loads(file.read_text())
    except OSError as error:
        raise UsageError(f"cannot read {file}: {error.strerror}") from error
    except ValueError as error:
        raise DataError(f"{file} is not JSON: {error}") from error
    absent = [name for name in DEPLOY_FIELDS if not isinstance(figures, dict) or name not in figures]
    if absent:
        raise DataError(f"{file} is not a deploy.json: it has no {', '.join(absent)}")
    return figures


def _datasets(paths: list[str], where: str | None) -> tuple[list[Dataset], str | None]:
    """What the run learned from of the datasets that can be read, and a sentence about the others."""
    found, lost = [], []
    for path in paths:
        try:
            dataset = Dataset.open(path)
            found.append(dataset if where is None else select(dataset, where))
        except DataError as error:
            lost.append(str(error))
    if not lost:
        return found, None
    return found, f"The data of this run cannot be read any more: {'; '.join(lost)}."
