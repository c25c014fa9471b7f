"""`robot-orl dataset undelete`: bring deleted episodes back."""

from dataclasses import dataclass

from robot_orl.commands.episodes import print_episodes, signature
from robot_orl.commands.tables import out
from robot_orl.curation.checking.findings import count
from robot_orl.curation.labels import matching, require_unwritten
from robot_orl.data.store.reader import Dataset
from robot_orl.schema import Schema, setting


@dataclass
class Config(Schema):
    """Bring deleted episodes back into use; `filter --deleted` lists them."""

    path: str = setting(help="Folder of the dataset.")
    where: str = setting(help="Which of the deleted episodes, such as 'success'.")
    reason: str = setting("undeleted", "Why; kept with who and when.")
    dry_run: bool = setting(False, "Only list them.")


def run(cfg: Config) -> None:
    dataset = Dataset.open(cfg.path)
    records = matching(dataset, cfg.where, deleted=True)
    require_unwritten(dataset, records)
    if cfg.dry_run:
        print_episodes(records)
        out.print(f"would bring {count(len(records), 'deleted episode')} back")
        return
    line = signature()
    dataset.relabel(records, cfg.reason, line, deleted=False)
    out.print(f"{cfg.path}: {count(len(records), 'deleted episode')} in use again")
