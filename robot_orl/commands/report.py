"""`robot-orl report`: one self-contained HTML page about a run."""

from robot_orl.commands.tables import out
from robot_orl.config import ReportConfig
from robot_orl.report.page import write_report
from robot_orl.training.runs.run import Run


def run(cfg: ReportConfig) -> None:
    path = write_report(Run.open(cfg.run), cfg.out, cfg.deploy)
    out.print(f"report: {path}")
