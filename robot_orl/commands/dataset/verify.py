"""`robot-orl dataset verify`: is everything still as it was written, and would it teach what it should?"""

import json
import time
from contextlib import ExitStack
from dataclasses import dataclass

from robot_orl.commands.tables import out
from robot_orl.curation.checking.findings import Severity, count
from robot_orl.curation.checking.verify import verify
from robot_orl.data.store.places import place_at
from robot_orl.errors import RunError
from robot_orl.interrupt import StopFlag
from robot_orl.progress import Bar
from robot_orl.schema import Schema, setting


@dataclass
class Config(Schema):
    """Compare every byte with its checksum; with --strict, also find what would mislead a learner."""

    path: str = setting(help="Folder or URL of the dataset.")
    strict: bool = setting(False, "Also look for intact data that would mislead a learner.")
    json: bool = setting(False, "Print plain JSON instead of lines.")


def run(cfg: Config) -> None:
    begun = time.monotonic()
    with ExitStack() as stack:
        stop = stack.enter_context(StopFlag())
        bars: list[Bar] = []

        def advance(episodes: int) -> None:
            stop.check("nothing was changed")
            bars[0].advance(episodes)

        report = verify(
            place_at(cfg.path),
            cfg.strict,
            lambda total: bars.append(stack.enter_context(Bar("verify", total))),
            advance,
        )
    if cfg.json:
        print(json.dumps(report.to_dict()))
    else:
        for finding in report.findings:
            out.print(str(finding))
        out.print(report.summary(time.monotonic() - begun))
    if not report.is_clean:
        counts = report.counts()
        told = []
        if number := counts[Severity.DAMAGE]:
            told.append(
                f"{count(number, 'finding')} of damage (dataset repair --dry-run says what it can save)"
            )
        if number := counts[Severity.MISLEADING]:
            told.append(f"{count(number, 'finding')} that would mislead a learner")
        raise RunError(f"{cfg.path}: {', '.join(told)}")
