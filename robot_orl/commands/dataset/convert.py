"""`robot-orl dataset convert`: a dataset as a file of another format."""

from dataclasses import dataclass
from pathlib import Path

from robot_orl.commands.tables import out as console
from robot_orl.curation.labels import selected
from robot_orl.data.store.place import URL
from robot_orl.data.store.reader import Dataset
from robot_orl.errors import UsageError
from robot_orl.interop import base
from robot_orl.interop.converting import check_free, convert
from robot_orl.interrupt import StopFlag
from robot_orl.progress import Bar
from robot_orl.schema import Schema, setting


@dataclass
class Config(Schema):
    """Write a dataset as a file of another format, for the tools of others."""

    path: str = setting(help="Folder of the dataset.")
    to: str = setting(help="Format to write: d4rl, lerobot, minari, minari_arrow, npz, robomimic, video.")
    out: str = setting(help="File, or folder, to make; must not exist.")
    where: str | None = setting(None, "Which episodes, such as `success and quality > 0.5`; default: all.")


def run(cfg: Config) -> None:
    write, out = base.writer(cfg.to), Path(cfg.out)
    if URL.match(cfg.out):
        raise UsageError(f"{cfg.out}: other formats are written to a folder of this machine, not a store")
    dataset = selected(Dataset.open(cfg.path), cfg.where)
    check_free(out, dataset)
    count = len(dataset.episodes)
    with StopFlag() as stop, Bar(f"Writing {cfg.to}", count) as bar:

        def progress(episodes: int) -> None:
            bar.advance(episodes)
            if bar.done < count:
                stop.check(f"nothing is at {out}; {cfg.path} is as it was")

        convert(dataset, write, out, progress)
    console.print(f"{out}: {count} episodes as {cfg.to}")
    if (left_out := base.left_out(cfg.to, dataset)) is not None:
        console.print(f"not in it: {left_out} (see docs/formats.md)")
