"""`robot-orl dataset filter`: the episodes that a query selects, listed or copied."""

from dataclasses import dataclass

from robot_orl.commands.episodes import print_episodes, print_json
from robot_orl.commands.tables import out
from robot_orl.curation.copying import Copying, NewFolder, copy
from robot_orl.curation.labels import history, matching
from robot_orl.data.store.reader import Dataset
from robot_orl.errors import UsageError
from robot_orl.interrupt import StopFlag
from robot_orl.progress import Bar
from robot_orl.schema import Schema, setting


@dataclass
class Config(Schema):
    """List the episodes that a query selects, or copy them into a new dataset.

    A query, as of where= everywhere, tests fields of an episode:
      success, success_any       as they are: success, not success
      quality, length, return, seed, rate_hz
                                 by == != < <= > >=, as in quality > 0.5
      operator, end_reason, policy_hash, notes, instruction, origin,
      segment, uid, id           by == != and has: notes has 'wet'
      actor                      has script, human, policy or intervention
    also: in (A, B), not in, is known, is unknown; joined by and, or, not, ( ).
    What is unknown is selected neither way.
    """

    path: str = setting(help="Folder of the dataset.")
    where: str | None = setting(
        None, "Which episodes, such as 'success and quality > 0.5'; null: all of them."
    )
    out: str | None = setting(None, "Folder of the new dataset; null: only list them.")
    all: bool = setting(False, "List all of them, not only the first 20.")
    json: bool = setting(False, "Print plain JSON instead of a table.")
    deleted: bool = setting(False, "Those that were deleted instead of those in use.")
    history: bool = setting(False, "List with each what was changed, by whom, when and why.")


def run(cfg: Config) -> None:
    if cfg.out is not None and cfg.deleted:
        raise UsageError("deleted episodes are not copied: undelete them first")
    if cfg.out is not None and (cfg.all or cfg.json or cfg.history):
        raise UsageError("out= copies all that match; --all, --json and --history are for listing them")
    dataset = Dataset.open(cfg.path)
    records = matching(dataset, cfg.where, cfg.deleted)
    if cfg.out is None:
        histories = history(dataset, records) if cfg.history else None
        if cfg.json:
            return print_json(records, histories)
        print_episodes(records, cfg.all, histories)
        pool = [record for record in dataset.records if record.deleted == cfg.deleted]
        out.print(f"{len(records):,} of {len(pool):,} {'deleted ' if cfg.deleted else ''}episodes")
        return None
    told = {"where": cfg.where}
    with (
        StopFlag() as stop,
        NewFolder(cfg.out, [dataset.path]) as draft,
        Bar("copy", len(records)) as bar,
    ):
        copy(dataset, records, draft, Copying("filter", stop, bar, told=told))
    out.print(f"{cfg.out}: {len(records):,} of {len(dataset.episodes):,} episodes")
    return None
