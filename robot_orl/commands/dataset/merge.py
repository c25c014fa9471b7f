"""`robot-orl dataset merge`: several datasets as one."""

from dataclasses import dataclass

from robot_orl.commands.tables import out
from robot_orl.curation.copying import Copying, NewFolder, copy
from robot_orl.curation.merging import unite
from robot_orl.data.store.reader import Dataset
from robot_orl.errors import UsageError
from robot_orl.interrupt import StopFlag
from robot_orl.progress import Bar
from robot_orl.schema import Schema, setting


@dataclass
class Config(Schema):
    """Copy several datasets of one task into a new one, each episode once."""

    paths: list[str] = setting(help="Folders of the datasets, two or more; the first one's labels go first.")
    out: str = setting(help="Folder of the new dataset.")


def run(cfg: Config) -> None:
    if len(cfg.paths) < 2:
        raise UsageError("merge needs two or more datasets: merge A B out=DIR")
    sources = [Dataset.open(path) for path in cfg.paths]
    if len({source.path.resolve() for source in sources}) < len(sources):
        raise UsageError(f"merge {' '.join(cfg.paths)} names a dataset twice")
    union = unite(sources)
    with (
        StopFlag() as stop,
        NewFolder(cfg.out, [source.path for source in sources]) as draft,
        Bar("copy", sum(map(len, union.chosen))) as bar,
    ):
        for source, records in zip(sources, union.chosen, strict=True):
            copy(source, records, draft, Copying("merge", stop, bar), union.spec)
    for left_out in union.left_out:
        out.print(f"left out {left_out}")
    if union.repeated:
        more = f", {union.disagreeing:,} of them with other labels there" if union.disagreeing else ""
        out.print(f"skipped {union.repeated:,} episodes that were there already{more}")
    for source, records in zip(sources, union.chosen, strict=True):
        out.print(f"{cfg.out}: {len(records):,} of {len(source.episodes):,} episodes of {source.path}")
