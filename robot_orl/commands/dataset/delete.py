"""`robot-orl dataset delete`: take episodes out of use."""

from dataclasses import dataclass

from robot_orl.commands.episodes import print_episodes, signature
from robot_orl.commands.tables import out
from robot_orl.curation.labels import matching, require_unwritten
from robot_orl.data.store.reader import Dataset
from robot_orl.schema import Schema, setting


@dataclass
class Config(Schema):
    """Take episodes out of use; `undelete` undoes it until `compact`."""

    path: str = setting(help="Folder of the dataset.")
    where: str = setting(help="Which episodes, such as 'quality < 0.1'.")
    reason: str = setting(help="Why; kept with who and when.")
    dry_run: bool = setting(False, "Only list them.")


def run(cfg: Config) -> None:
    dataset = Dataset.open(cfg.path)
    records = matching(dataset, cfg.where)
    require_unwritten(dataset, records)
    before = len(dataset.episodes)
    if cfg.dry_run:
        print_episodes(records)
        out.print(f"would delete {len(records):,} of {before:,} episodes")
        return
    line = signature()
    dataset.relabel(records, cfg.reason, line, deleted=True)
    out.print(
        f"{cfg.path}: deleted {len(records):,} of {before:,} episodes; until `compact`, `undelete` undoes it"
    )
