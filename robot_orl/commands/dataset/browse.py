"""`robot-orl dataset browse`: the episodes at a page, to look at, to play and to label."""

from dataclasses import dataclass
from importlib.util import find_spec

from robot_orl.commands.episodes import signature
from robot_orl.data.query import parse
from robot_orl.deploy.supervisor.listening import listen
from robot_orl.errors import UsageError
from robot_orl.schema import Schema, setting


@dataclass
class Config(Schema):
    """A page to sort, filter, play and relabel the episodes; other machines need the token of its address."""

    path: str = setting(help="Folder of the dataset.")
    where: str | None = setting(None, "The query that the page begins with, such as 'not success'.")
    host: str = setting("127.0.0.1", "Address to serve the page at; 0.0.0.0: to the whole network.")
    port: int = setting(8766, "To serve it at; 0: any that is free.", low=0, high=65_535)


def run(cfg: Config) -> None:
    """Until Ctrl-C. Raises: UsageError: no query, or nothing can be served there.  DataError: no dataset."""
    import envs  # noqa: F401  registers the tasks with Gymnasium

    if find_spec("websockets") is None:
        raise UsageError("dataset browse needs websockets: pip install 'robot-orl[browser]'")
    from data_collection.browse.library import Library
    from data_collection.browse.server import browse

    if cfg.where is not None:
        parse(cfg.where)
    library = Library(cfg.path, signature)
    browse(library, listen(cfg.host, cfg.port, ""), cfg.where or "")
