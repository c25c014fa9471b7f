"""`robot-orl dataset repair`: keep what is intact, put the rest aside."""

import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime

from robot_orl.commands.tables import out
from robot_orl.curation.checking.findings import printable
from robot_orl.curation.checking.mending import Mending
from robot_orl.curation.checking.repair import Plan, Rewrite, make_plan
from robot_orl.errors import RunError
from robot_orl.interrupt import StopFlag
from robot_orl.progress import Bar
from robot_orl.schema import Schema, setting


@dataclass
class Config(Schema):
    """Keep all intact episodes of a damaged dataset; the rest moves to its folder quarantine/."""

    path: str = setting(help="Folder of the dataset, which nobody is writing.")
    dry_run: bool = setting(False, "Only print what would be done.")


def run(cfg: Config) -> None:
    with StopFlag() as stop:
        plan = _planned(cfg.path, stop)
        for step in plan.steps:
            out.print(printable(str(step)))
        if not plan.steps:
            out.print(f"{cfg.path}: nothing to repair; {plan.summary()}")
        elif cfg.dry_run:
            out.print(f"{cfg.path}: {plan.summary()}; nothing was changed (dry run)")
        else:
            if not os.access(plan.root, os.W_OK):
                raise RunError(f"{cfg.path} cannot be written: copy the dataset to where it can")
            _mended(cfg.path, plan, stop)


def _planned(path: str, stop: StopFlag) -> Plan:
    with ExitStack() as stack:
        begin, advance = _bar(stack, stop, "verify", "nothing was changed")
        return make_plan(path, begin, advance)


def _mended(path: str, plan: Plan, stop: StopFlag) -> None:
    with ExitStack() as stack:
        begin, advance = _bar(stack, stop, "repair", "nothing is lost: the same command goes on")
        begin(sum(len(step.scan.intact) for step in plan.steps if isinstance(step, Rewrite)))
        mending = Mending(plan, datetime.now(UTC), advance)
        told = mending.run()
    for line in told:
        out.print(line)
    out.print(f"{path}: repaired; {plan.summary()}; what was moved away is in {mending.folder}")


def _bar(
    stack: ExitStack, stop: StopFlag, title: str, kept: str
) -> tuple[Callable[[int], None], Callable[[int], None]]:
    """A bar whose length is known later; each advance is a safe point to stop at."""
    bars: list[Bar] = []

    def advance(episodes: int) -> None:
        stop.check(kept)
        bars[0].advance(episodes)

    return lambda total: bars.append(stack.enter_context(Bar(title, total))), advance
