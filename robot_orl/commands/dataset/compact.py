"""`robot-orl dataset compact`: free the disk space of deleted episodes."""

from dataclasses import dataclass

from robot_orl.commands.tables import out
from robot_orl.curation.checking.findings import count
from robot_orl.curation.compacting import compact, plan
from robot_orl.data.store.reader import Dataset
from robot_orl.interrupt import StopFlag
from robot_orl.schema import Schema, setting


@dataclass
class Config(Schema):
    """Rewrite segments without their deleted episodes, which are gone for good; frees disk space."""

    path: str = setting(help="Folder of the dataset; nobody else should have it open.")
    dry_run: bool = setting(False, "Only say what would be rewritten.")


def run(cfg: Config) -> None:
    if cfg.dry_run:
        rewrites = plan(Dataset.open(cfg.path))
        for one in rewrites:
            total = one.deleted + len(one.kept)
            out.print(
                f"{one.segment.path.name}: {one.deleted:,} of {total:,} episodes, {_size(one.size_bytes)}"
            )
        out.print(f"would remove {count(sum(one.deleted for one in rewrites), 'episode')} for good")
        return
    with StopFlag() as stop:
        gone, freed = compact(cfg.path, stop)
    out.print(f"{cfg.path}: {count(gone, 'deleted episode')} gone for good, {_size(freed)} freed")


def _size(count: int) -> str:
    return f"{count / 1e6:,.1f} MB"
