"""`report.html`: one page about a run, in one file that needs no network and no script."""

import time
from importlib.resources import files
from pathlib import Path
from string import Template

from robot_orl import __version__
from robot_orl.errors import RunError
from robot_orl.progress import Bar
from robot_orl.report import deployment, evidence, sections
from robot_orl.report.sources import read_sources
from robot_orl.report.video import record_clips
from robot_orl.training.run import Run


def write_report(run: Run, out: str | None, deploy: str | None) -> Path:
    """Write the page and say where it is; what cannot be shown is said in the page, in a sentence.

    out: the page; None: report.html in the run folder.  deploy: a deploy.json to show; None: that of
    the run's last exported bundle. Raises: UsageError: `deploy` is none of this task.  DataError: the
    run's own files are damaged.  RunError: the page cannot be written.
    """
    path = Path(out) if out is not None else run.path / "report.html"
    sources = read_sources(run, deploy)
    with Bar("report", 4) as bar:
        clips = record_clips(sources, bar)
        parts = {
            "version": __version__,
            "title": sections.title(sources),
            "style": _asset("style.css"),
            "header": sections.header(sources),
            "results": sections.results(sources),
            "curve": evidence.curve(sources),
            "clips": evidence.clips(clips),
            "data": evidence.data(sources),
            "deploy": deployment.section(sources),
            "reproduce": sections.reproduce(sources),
            "footer": sections.footer(sources, time.strftime("%Y-%m-%d %H:%M")),
        }
        _write(path, Template(_asset("template.html")).substitute(parts))
        bar.advance(bar.total - bar.done)
    return path


def _asset(name: str) -> str:
    return (files("robot_orl.report") / name).read_text(encoding="utf-8")


def _write(path: Path, page: str) -> None:
    partial = path.with_name(path.name + ".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(page, encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        raise RunError(f"cannot write report {path}: {error.strerror}") from error
