"""What is given as a dataset and is none, and where data is written to, is answered in one line."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from cli_tools import TRAIN, TUNE, Made, Refused, contents, flip_byte, truncate

from robot_orl.cli import main
from robot_orl.data.store.layout import guarded
from robot_orl.data.store.writer import SegmentWriter

pytestmark = pytest.mark.e2e  # works on a dataset, a run and a bundle that commands made
Copy = Callable[[str], Path]


def newer_version(data: Path) -> None:
    document = json.loads((data / "dataset.json").read_text())
    del document["crc32c"]
    (data / "dataset.json").write_text(json.dumps(guarded(document | {"format_version": 99})))


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda data: shutil.rmtree(data), "no dataset at {data}: it does not exist"),
    "empty": (lambda data: (shutil.rmtree(data), data.mkdir()), "no dataset at {data}: the folder is empty"),
    "a file": (
        lambda data: (shutil.rmtree(data), data.write_text("")),
        "{data} is a file, not a dataset's folder",
    ),
    "not JSON": (
        lambda data: truncate(data / "dataset.json"),
        "{data}/dataset.json is damaged: not valid JSON",
    ),
    "newer": (newer_version, "{data}/dataset.json has format version 99; this robot_orl reads up to 2: "),
    "log cut off": (lambda data: truncate(the(data, "episodes.jsonl")), "episodes.jsonl is cut off: "),
    "log changed": (lambda data: flip_byte(the(data, "episodes.jsonl")), "episodes.jsonl: line "),
    "chunk cut off": (
        lambda data: truncate(the(data, "steps/action/c/0/0")),
        "steps/action/c/0/0 is damaged: ",
    ),
    "chunk changed": (
        lambda data: flip_byte(the(data, "obs/observation/c/0/0")),
        "obs/observation/c/0/0 is damaged: episode 0 cannot be read",
    ),
    "chunk missing": (lambda data: the(data, "steps/reward/c/0").unlink(), "steps/reward/c/0 is missing: "),
}


def the(data: Path, file: str) -> Path:
    (found,) = data.glob(f"segments/*/{file}")
    return found


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_dataset_that_cannot_be_learned_from_is_named(
    damage: str, copy: Copy, refused: Refused, tmp_path: Path
) -> None:
    data = copy("reach")
    hurt, expected = DAMAGES[damage]
    hurt(data)
    before = contents(data) if data.is_dir() else {}
    line = refused("pretrain", f"data={data}", f"out={tmp_path / 'run'}", *TRAIN, after_work=True)
    assert expected.format(data=data) in line
    assert (contents(data) if data.is_dir() else {}) == before
    assert not (tmp_path / "run" / "checkpoints").exists()
    if not damage.startswith("chunk"):  # the logs alone tell
        assert expected.format(data=data) in refused("dataset", "info", data)
        assert expected.format(data=data) in refused("dataset", "info", data, "--json")


@pytest.mark.parametrize(
    ("value", "line"),
    [
        ("[]", "data=[] is not a folder or a list of folders such as [data/a,data/b]"),
        ("null", "data=None is not a folder or a list of folders such as [data/a,data/b]"),
        ("3", "data=3 is not a folder"),
        ("[3]", "data=[3] is not a folder"),
        ("{a:b}", "data={'a': 'b'} is not a folder"),
        ("[reach,push]", "dataset push is of task 'fetch_push', not 'fetch_reach'"),
        ("[reach,./reach]", "data=[reach,reach] names a folder twice"),
        ("run", "no dataset at run: the folder has no dataset.json"),
        ("[reach,nowhere]", "no dataset at nowhere: it does not exist"),
    ],
)
def test_data_must_be_folders_of_one_task(
    value: str, line: str, made: Made, refused: Refused, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(made.root)
    assert refused("pretrain", f"data={value}", f"out={tmp_path / 'x'}").startswith(line)
    assert refused("finetune", "run=run", f"data={value.replace('null', '[null]')}").startswith(
        line.replace("None", "[None]")
    )
    assert not (tmp_path / "x").exists()


def test_a_dataset_without_an_episode_is_shown_but_not_learned_from(
    made: Made, refused: Refused, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = shutil.copytree(made.reach, tmp_path / "none")
    shutil.rmtree(data / "segments")
    assert main(["dataset", "info", str(data), "--json"]) == 0
    info = json.loads(capsys.readouterr().out)
    assert (info["episodes"], info["transitions"], info["success"]) == (0, 0, None)
    line = refused("pretrain", f"data={data}", f"out={tmp_path / 'run'}")
    assert line == f"{data} holds no committed episode yet"


def test_names_in_brackets_are_shown_as_they_are(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(made.reach, tmp_path / "[bold]" / "[" / "x:smile:")
    assert main(["dataset", "info", "[bold]/[/x:smile:"]) == 0
    assert " [bold]/[/x:smile:" in capsys.readouterr().out
    assert main(["collect", "task=fetch_reach", "episodes=11", "out='[bold]/[/x:smile:'"]) == 0
    assert capsys.readouterr().out.startswith("[bold]/[/x:smile:: 11 episodes, ")


# where data is written to


def test_collecting_never_touches_a_folder_of_something_else(copy: Copy, refused: Refused) -> None:
    run, reach = copy("run"), copy("reach")
    before = contents(run), contents(reach)
    words = ["collect", "task=fetch_push", "episodes=1"]
    assert refused(*words, f"out={run}") == f"{run} is not empty and not a dataset: choose another folder"
    line = refused(*words, f"out={run / 'config.yaml'}")
    assert line == f"{run / 'config.yaml'} is a file, not a dataset's folder"
    assert refused(*words, f"out={reach}") == f"{reach} holds episodes of task fetch_reach, not of fetch_push"
    assert (contents(run), contents(reach)) == before


def test_one_seed_is_not_collected_in_two_ways(copy: Copy, refused: Refused) -> None:
    reach = copy("reach")
    before = contents(reach)
    line = refused("collect", "task=fetch_reach", f"out={reach}", "operator.skill_low=0.5", "episodes=11")
    assert line == (
        f"{reach} holds episodes of 'scripted' with seed=0 and other values of: operator.skill_low; "
        "choose another seed= or out="
    )
    assert contents(reach) == before
    words = ["collect", "task=fetch_reach", f"out={reach}", "operator.skill_low=0.5", "episodes=1", "seed=1"]
    assert main(words) == 0


def test_a_dataset_that_is_being_written_is_collected_into_but_not_learned_from(
    copy: Copy, refused: Refused, made: Made
) -> None:
    import os

    from robot_orl.data.store.reader import Dataset

    reach = copy("reach")
    dataset = Dataset.open(reach)
    episode = dataset.load(dataset.episodes[0])
    with SegmentWriter(reach, dataset.spec, "somebody") as writer:
        writer.append(episode)
        expected = f"dataset {reach} is being written by process {os.getpid()}"
        assert main(["collect", "task=fetch_reach", f"out={reach}", "episodes=1", "seed=7"]) == 0
        assert refused("pretrain", f"data={reach}", f"out={made.root / 'x'}", *TRAIN) == expected
        assert refused("finetune", f"run={copy('run')}", f"data={reach}", *TUNE) == expected
    assert len(Dataset.open(reach).episodes) == 12


def test_a_collecting_session_that_has_no_episode_yet_keeps_its_like_out(
    refused: Refused, tmp_path: Path
) -> None:
    import os

    from robot_orl.commands.collect import lock_name
    from robot_orl.data.store import lock

    held = lock.hold(tmp_path, lock_name("scripted", 0))
    words = ["collect", "task=fetch_reach", f"out={tmp_path}", "episodes=1"]
    assert refused(*words) == (
        f"process {os.getpid()} collects 'scripted' with seed=0 into {tmp_path}; choose another seed="
    )
    assert not (tmp_path / "segments").exists()
    assert main([*words, "seed=1"]) == 0
    os.close(held)
    assert main(words) == 0


@pytest.mark.parametrize("what", ["reach", "bundle", "push_run"])
def test_pretraining_writes_only_into_runs_of_the_same_settings(
    what: str, copy: Copy, made: Made, refused: Refused
) -> None:
    out = copy(what)
    before = contents(out)
    line = refused("pretrain", f"data={made.reach}", f"out={out}", *TRAIN)
    if what == "push_run":
        assert line == f"run {out} exists with other values of: data, task.name; choose another out="
    else:
        assert line == f"{out} is not empty and not a run; choose another out="
    assert contents(out) == before


def test_a_run_of_other_settings_names_the_fields_that_differ(
    copy: Copy, made: Made, refused: Refused
) -> None:
    run = copy("run")
    before = contents(run)
    words = ["agent.online.temperature=2", "agent.discount=0.5", "seed=3"]
    line = refused("pretrain", f"data={made.reach}", f"out={run}", *TRAIN, *words)
    names = "agent.discount, agent.online.temperature, seed"
    assert line == f"run {run} exists with other values of: {names}; choose another out="
    assert contents(run) == before
