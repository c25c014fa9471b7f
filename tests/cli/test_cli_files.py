"""Datasets, runs and bundles that are missing, damaged or something else: one line, nothing changed."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from cli_tools import TRAIN, TUNE, Made, Refused, contents, flip_byte, truncate

from robot_orl.cli import main
from robot_orl.data.store.layout import guarded
from robot_orl.data.store.writer import SegmentWriter
from robot_orl.training.runs.checkpoint import save_checkpoint
from robot_orl.training.runs.run import Run

pytestmark = pytest.mark.e2e  # works on a dataset, a run and a bundle that commands made

Copy = Callable[[str], Path]


# what is given as a dataset


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


# what is given as a run


def new_line(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


CKPT = "checkpoints/online.ckpt"
RUN_DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda run: shutil.rmtree(run), "no run at '{run}': it has no config.yaml; `pretrain out="),
    "no config": (lambda run: (run / "config.yaml").unlink(), "no run at '{run}': it has no config.yaml; "),
    "config cut": (
        lambda run: (run / "config.yaml").write_text("a: ["),
        "{run}/config.yaml cannot be read: ",
    ),
    "config bytes": (
        lambda run: (run / "config.yaml").write_bytes(b"\xff\0"),
        "config.yaml cannot be read: ",
    ),
    "config list": (
        lambda run: (run / "config.yaml").write_text("- 1"),
        "config.yaml is damaged: it is not a",
    ),
    "config empty": (
        lambda run: (run / "config.yaml").write_text(""),
        "config.yaml is damaged: it has no whole",
    ),
    "task gone": (
        lambda run: new_line(run / "config.yaml", "name: fetch_reach", "name: fetch_rech"),
        "no task 'fetch_rech'; ",
    ),
    "other task": (
        lambda run: new_line(run / "config.yaml", "name: fetch_reach", "name: fetch_push"),
        "is of task 'fetch_reach', not 'fetch_push'",
    ),
    "summary cut": (lambda run: truncate(run / "summary.json"), "{run}/summary.json is damaged: "),
    "summary list": (lambda run: (run / "summary.json").write_text("[]"), "{run}/summary.json is damaged: "),
    "no checkpoint": (lambda run: shutil.rmtree(run / "checkpoints"), "run {run} has no "),
    "flipped": (lambda run: flip_byte(run / CKPT), "checkpoint {run}/checkpoints/online.ckpt is damaged "),
    "cut": (lambda run: truncate(run / CKPT), "checkpoint {run}/checkpoints/online.ckpt is damaged "),
    "nothing": (
        lambda run: (run / CKPT).write_bytes(b""),
        "{run}/checkpoints/online.ckpt is not a robot_orl c",
    ),
    "another file": (
        lambda run: shutil.copy(run / "config.yaml", run / CKPT),
        "is not a robot_orl checkpoint",
    ),
    "newer": (
        lambda run: save_checkpoint(run / CKPT, {"format": 9}),
        "checkpoint format 9; this version reads",
    ),
    "no mapping": (lambda run: save_checkpoint(run / CKPT, [1]), "is not a robot_orl checkpoint"),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("damage", RUN_DAMAGES)
@pytest.mark.parametrize("command", ["evaluate", "finetune", "export"])
def test_a_run_that_cannot_be_used_is_named_and_left_alone(
    command: str, damage: str, copy: Copy, refused: Refused, tmp_path: Path
) -> None:
    run = copy("run")
    (run / CKPT).with_suffix(".previous.ckpt").unlink()  # which would be used for a damaged last one
    hurt, expected = RUN_DAMAGES[damage]
    hurt(run)
    before = contents(run) if run.exists() else {}
    more = {"evaluate": ["episodes=1"], "finetune": TUNE, "export": [f"out={tmp_path / 'bundle'}"]}[command]
    line = refused(command, f"run={run}", *more, after_work=True)
    assert expected.format(run=run) in line
    assert (contents(run) if run.exists() else {}) == before


def test_a_checkpoint_of_another_task_is_refused(
    copy: Copy, made: Made, refused: Refused, tmp_path: Path
) -> None:
    run = copy("run")
    shutil.copy(made.push_run / "checkpoints" / "offline.ckpt", run / CKPT)
    expected = f"checkpoint 'online' of run {run} is of task 'fetch_push', not 'fetch_reach'"
    assert refused("evaluate", f"run={run}", "episodes=1") == expected
    assert refused("export", f"run={run}", f"out={tmp_path / 'bundle'}") == expected
    assert refused("finetune", f"run={run}", *TUNE) == expected
    line = refused(
        "collect", "task=fetch_push", "operator=policy", f"operator.path={made.run}", f"out={tmp_path / 'x'}"
    )
    assert line == f"{made.run / CKPT} was trained for task 'fetch_reach', not for 'fetch_push'"


def test_finetuning_needs_an_offline_stage_and_its_own_agent(copy: Copy, refused: Refused) -> None:
    run = copy("run")
    for path in (run / "checkpoints").glob("o*line.*ckpt"):
        path.unlink()
    before = contents(run)
    line = refused("finetune", f"run={run}")
    assert line == f"run {run} has no finished offline agent to finetune; pretrain it first"
    line = refused("finetune", f"run={run}", "agent=bc")
    assert line.startswith("finetune goes on with the agent of the run; single fields can be set: agent.")
    assert refused("finetune", f"run={run}", "agent.discont=0.9").startswith("no field of agent 'discont'; ")
    assert contents(run) == before


def test_weights_that_do_not_fit_are_named(copy: Copy, refused: Refused) -> None:
    run = copy("run")
    line = refused("finetune", f"run={run}", "agent.hidden=[32]", *TUNE, after_work=True)
    assert line.startswith("the checkpoint does not fit agent 'awac': ")
    assert "actor.net" in line


def test_a_run_that_is_being_written_is_not_written(copy: Copy, made: Made, refused: Refused) -> None:
    import os

    run = copy("run")
    with Run(run):
        expected = f"run {run} is being written by process {os.getpid()}"
        assert refused("pretrain", f"data={made.reach}", f"out={run}", *TRAIN) == expected
        assert refused("finetune", f"run={run}", *TUNE) == expected
        assert refused("evaluate", f"run={run}") == expected  # before it plays


def test_lost_metrics_and_summary_do_not_stop_finetuning(
    copy: Copy, capsys: pytest.CaptureFixture[str]
) -> None:
    run = copy("run")
    (run / "summary.json").unlink()
    (run / "metrics.jsonl").write_bytes(b'\xff\xfe\n[1]\n{"stage": "offline"}\n{"sta')
    assert main(["finetune", f"run={run}", *TUNE, "noise=0.1"][:-1]) == 0
    assert json.loads((run / "summary.json").read_text())["online"]["env_steps"] == 100
    assert "Traceback" not in capsys.readouterr().err


def unfinished(run: Path, stage: str, target: int) -> None:
    """As an interruption leaves it: the stage was asked for more than it has."""
    saved = Run(run).load(stage)
    saved["progress"]["target"] = target
    save_checkpoint(run / "checkpoints" / f"{stage}.ckpt", saved)


def test_a_half_trained_agent_is_not_finetuned(copy: Copy, refused: Refused) -> None:
    run = copy("run")
    (run / "checkpoints" / "online.ckpt").unlink()
    unfinished(run, "offline", 30)
    before = contents(run)
    line = refused("finetune", f"run={run}", *TUNE)
    expected = f"pretraining of run {run} is not finished (20 of 30 updates): run the same pretrain again"
    assert line == expected
    assert contents(run) == before


def test_a_half_trained_stage_is_measured_but_not_as_a_result(
    copy: Copy, capsys: pytest.CaptureFixture[str]
) -> None:
    run = copy("run")
    unfinished(run, "online", 500)
    before = contents(run)
    assert main(["evaluate", f"run={run}", "episodes=1"]) == 0
    said = "; training is not finished (100 of 500), so this is not kept in the summary\n"
    assert capsys.readouterr().out.endswith(f" 1 episodes{said}")
    assert contents(run) == before


def test_the_offline_agent_of_a_finetuned_run_is_not_replaced(
    copy: Copy, made: Made, refused: Refused
) -> None:
    run = copy("run")
    before = contents(run)
    words = [word for word in TRAIN if not word.startswith("steps=")]
    line = refused("pretrain", f"data={made.reach}", f"out={run}", *words, "steps=21")
    assert line == f"run {run} was finetuned from its 20 offline updates; choose another out= for 21"
    assert contents(run) == before


def test_other_settings_for_unfinished_finetuning_are_named(copy: Copy, refused: Refused) -> None:
    run = copy("run")
    unfinished(run, "online", 500)
    before = contents(run)
    words = ["env_steps=500", *TUNE[1:], "noise=0.3", "agent.discount=0.5"]
    line = refused("finetune", f"run={run}", *words, after_work=True)
    assert line == (
        f"finetuning of run {run} began with other values of: noise, agent.discount; finish it with the "
        "same, then it can go on with others"
    )
    assert contents(run) == before


def test_cloning_is_not_finetuned(made: Made, refused: Refused, tmp_path: Path) -> None:
    words = ["agent=bc", "agent.hidden=[8]", "steps=2", "final_episodes=1"]
    assert main(["pretrain", *words, f"data={made.reach}", f"out={tmp_path / 'bc'}"]) == 0
    line = refused("finetune", f"run={tmp_path / 'bc'}")
    assert line == "bc has no online phase; pretrain agent=awac"


def test_a_bundle_is_not_written_over_where_one_works(
    made: Made, copy: Copy, refused: Refused, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle, run = copy("bundle"), copy("run")
    (bundle / "inside").mkdir()
    monkeypatch.chdir(bundle / "inside")
    before = contents(tmp_path)
    for out, meant in ((".", bundle / "inside"), ("..", bundle), ("/", Path("/"))):
        line = refused("export", f"run={run}", f"out={out}")
        assert line == f"{meant} is the working folder or above it; choose another out="
    assert refused("export", f"run={run}", f"out={run}").startswith(f"{run} exists and is no bundle; ")
    assert contents(tmp_path) == before


# bundles


@pytest.mark.parametrize("file", ["manifest.json", "policy.onnx", "policy.safetensors"])
def test_a_bundle_with_a_changed_or_missing_file_is_not_deployed(
    file: str, copy: Copy, refused: Refused, tmp_path: Path
) -> None:
    bundle = copy("bundle")
    flip_byte(bundle / file)
    before = contents(bundle)
    record = tmp_path / "recorded"
    line = refused("deploy", f"bundle={bundle}", f"record={record}")
    assert line.startswith(f"{bundle / file}: c")  # changed, or cannot be read
    (bundle / file).unlink()
    assert refused("deploy", f"bundle={bundle}", f"record={record}").startswith(f"{bundle / file}: missing")
    del before[file]
    assert contents(bundle) == before
    assert not record.exists()


def test_what_is_no_bundle_is_not_deployed_and_not_replaced(copy: Copy, refused: Refused) -> None:
    run = copy("run")
    before = contents(run)
    line = refused("deploy", f"bundle={run}")
    assert line == f"{run / 'manifest.json'}: missing, so {run} is not a bundle; export again"
    assert refused("deploy", "bundle=nowhere").startswith("nowhere: no such bundle folder; ")
    assert (
        refused("export", f"run={run}", f"out={run}") == f"{run} exists and is no bundle; choose another out="
    )
    assert contents(run) == before


def test_a_deployment_is_refused_before_anything_moves(
    copy: Copy, made: Made, refused: Refused, tmp_path: Path
) -> None:
    bundle, run = copy("bundle"), copy("run")
    before = contents(bundle), contents(run), contents(made.push)
    words = ["deploy", f"bundle={bundle}", "duration_s=30"]
    record = f"record={tmp_path / 'new'}"
    assert refused(*words, f"out={run}", record) == f"cannot write {run}; choose another out="
    assert refused(*words, "out=no/x.json", record) == "cannot write no/x.json; choose another out="
    line = refused(*words, f"record={made.push}")
    assert line == f"{made.push} holds episodes of task fetch_push, not of fetch_reach"
    assert refused(*words, f"record={run}") == f"{run} is not empty and not a dataset: choose another folder"
    assert (contents(bundle), contents(run), contents(made.push)) == before
    assert not (tmp_path / "new").exists()
