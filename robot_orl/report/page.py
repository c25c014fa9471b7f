"""`report.html`: one page about a run, in one file that needs no network and no script."""

import time
from pathlib import Path

from robot_orl.progress import Bar
from robot_orl.report import deployment, evidence, sections
from robot_orl.report.diagnosis import diagnosis
from robot_orl.report.document import write_document
from robot_orl.report.sources import read_sources
from robot_orl.report.video import record_clips
from robot_orl.training.runs.run import Run


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
        body = [
            sections.header(sources),
            sections.results(sources),
            evidence.curve(sources),
            diagnosis(sources),
            evidence.clips(clips),
            evidence.data(sources),
            deployment.section(sources),
            sections.reproduce(sources),
        ]
        footer = sections.footer(sources, time.strftime("%Y-%m-%d %H:%M"))
        write_document(path, sections.title(sources), body, footer)
        bar.advance(bar.total - bar.done)
    return path
