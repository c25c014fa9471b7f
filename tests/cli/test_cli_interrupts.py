"""Ctrl-C and kill -9 of real commands: state is kept, and the same words go on."""

import json
import shutil
import signal
from pathlib import Path

import pytest
from cli_tools import TRAIN, TUNE, Made, committed, metrics, run, start, stop_when

from robot_orl.commands.inputs import load_replay, open_datasets
from robot_orl.data.store.reader import Dataset
from robot_orl.interrupt import Interrupted, StopFlag
from robot_orl.tasks import TaskConfig, make_env

pytestmark = pytest.mark.e2e


def episodes(data: Path) -> list[int | None]:
    """Start seeds of all whole episodes, each read with its checksums."""
    dataset = Dataset.open(data)
    assert len(list(dataset.load_all())) == len(dataset.episodes)
    return [record.meta.seed for record in dataset.episodes if record.meta.end_reason != "crash"]


def collect_words(data: Path, count: int) -> list[object]:
    return ["collect", "task=fetch_reach", f"episodes={count}", f"out={data}"]


def test_collecting_goes_on_after_ctrl_c_and_kill_9(tmp_path: Path) -> None:
    data = tmp_path / "data"
    code, said = stop_when(start(collect_words(data, 5000)), lambda: committed(data) >= 3)
    assert code == 130
    assert said.splitlines()[-1].startswith("robot-orl: interrupted; ")
    assert said.splitlines()[-1].endswith(" of 5000 episodes are committed; the same command goes on")
    first = episodes(data)
    assert first == list(range(len(first)))
    assert f"interrupted; {len(first)} of 5000 " in said

    process = start(collect_words(data, 5000))
    code, _ = stop_when(process, lambda: committed(data) >= len(first) + 3, signal.SIGKILL)
    assert code == -signal.SIGKILL
    lines = committed(data)
    second = episodes(data)
    assert second == list(range(lines))  # every line that was complete at the kill is an episode
    assert len(second) >= len(first) + 3

    result = run(collect_words(data, len(second) + 2))
    assert result.returncode == 0, result.stderr
    assert episodes(data) == list(range(len(second) + 2))
    cut_off = [r.meta.seed for r in Dataset.open(data).episodes if r.meta.end_reason == "crash"]
    assert cut_off in ([], [len(second)])  # the steps of the episode under way at the kill, if it had any
    assert list((data / "journal").iterdir()) == []


def finished(result_code: int, said: str) -> None:
    assert result_code == 0, said
    assert "Traceback" not in said


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_pretraining_goes_on_where_it_was(made: Made, tmp_path: Path, number: signal.Signals) -> None:
    folder = tmp_path / "run"
    words: list[object] = ["pretrain", f"data={made.reach}", f"out={folder}", *TRAIN, "threads=1"]
    words.remove("steps=20")
    long = [*words, "steps=100000"]
    words.remove("eval_every=10")
    long = [*words, "steps=100000", "eval_every=100000"]

    def is_offline() -> bool:
        return sum(row["stage"] == "offline" for row in metrics(folder)) > 4

    code, said = stop_when(start(long), is_offline, number)
    if number == signal.SIGINT:
        assert code == 130
        last = said.splitlines()[-1]
        assert last.startswith("robot-orl: interrupted; offline is saved at update ")
        saved = int(last.split("update ")[1].split(";")[0])
    else:
        assert code == -signal.SIGKILL
        saved = 20  # four lines, one every five updates; a checkpoint is at most five updates older
    steps = max(row["step"] for row in metrics(folder) if row["stage"] == "offline") + 50
    again = run([*words, f"steps={steps}", "eval_every=100000"])
    finished(again.returncode, again.stderr)
    rows = [row["step"] for row in metrics(folder) if row["stage"] == "offline" and "eval/success" not in row]
    assert rows == list(range(5, steps + 1, 5))  # no line lost, none twice
    assert "bc: bc" not in again.stderr  # the baseline was finished before
    assert json.loads((folder / "summary.json").read_text())["offline"]["updates"] == steps
    assert steps > saved


@pytest.mark.parametrize("number", [pytest.param(signal.SIGINT, marks=pytest.mark.slow), signal.SIGKILL])
def test_finetuning_goes_on_where_it_was(made: Made, tmp_path: Path, number: signal.Signals) -> None:
    folder = tmp_path / "run"
    shutil.copytree(made.run, folder)
    words: list[object] = ["finetune", f"run={folder}", *TUNE[1:]]  # it has 100 steps already

    def has_more() -> bool:
        return max(row["env_steps"] for row in metrics(folder)) >= 200

    code, said = stop_when(start([*words, "env_steps=100000"]), has_more, number)
    if number == signal.SIGINT:
        assert code == 130
        last = said.splitlines()[-1]
        assert last.startswith("robot-orl: interrupted; online is saved at step ")
        assert last.endswith("; the same command goes on")
    else:
        assert code == -signal.SIGKILL
    before = committed(folder / "online")
    steps = max(row["env_steps"] for row in metrics(folder)) + 150
    again = run([*words, f"env_steps={steps}"])
    finished(again.returncode, again.stderr)
    seeds = episodes(folder / "online")
    assert seeds == [500_000 + number for number in range(steps // 50)]  # none twice, none left out
    assert len(seeds) > before - 1
    rows = [row["step"] for row in metrics(folder) if row["stage"] == "online" and "eval/success" not in row]
    assert rows == list(range(50, steps + 1, 50))
    assert json.loads((folder / "summary.json").read_text())["online"]["env_steps"] == steps


def test_ctrl_c_while_deploying_stops_the_robot_and_keeps_the_record(made: Made, tmp_path: Path) -> None:
    data, figures = tmp_path / "deployed", tmp_path / "deploy.json"
    words = ["deploy", f"bundle={made.bundle}", "duration_s=60", f"record={data}", f"out={figures}"]
    code, said = stop_when(start(list(words)), lambda: committed(data) >= 1)
    assert code == 130
    assert said.splitlines()[-1].startswith("robot-orl: interrupted; the robot was stopped")
    told = json.loads(figures.read_text())
    assert (told["stopped_by"], told["fault"]) == ("interrupt", None)
    kept = Dataset.open(data)
    # An action under way has no result yet, and is left out.
    assert told["ticks"] - sum(record.length for record in kept.episodes) in (0, 1)
    again = run([*words[:2], "duration_s=0.5", *words[3:]])
    assert again.returncode == 0, again.stderr
    both = Dataset.open(data).episodes
    assert len(both) == len(kept.episodes) + 1
    assert len({record.meta.seed for record in both}) == len(both)  # other start states than before


def test_a_second_session_of_the_same_operator_and_seed_is_kept_out(tmp_path: Path) -> None:
    data = tmp_path / "data"
    process = start(collect_words(data, 5000))
    refusals = []

    def tried() -> bool:
        if committed(data) >= 1:
            refusals.append(run(collect_words(data, 5000)))
        return bool(refusals)

    code, _ = stop_when(process, tried)
    assert code == 130
    assert refusals[0].returncode == 2
    line = f"process {process.pid} collects 'scripted' with seed=0 into {data}; choose another seed="
    assert refusals[0].stderr == f"robot-orl: {line}\n"


def test_four_sessions_collect_into_one_dataset_at_once(tmp_path: Path) -> None:
    data = tmp_path / "with space"
    operators = ["scripted", "scripted", "random", "random"]
    sessions = [
        start([*collect_words(data, 8), f"operator={operator}", f"seed={seed}"])
        for seed, operator in enumerate(operators)
    ]
    for session in sessions:
        said = session.communicate()[1]
        assert session.returncode == 0, said
    dataset = Dataset.open(data)
    assert len(dataset.segments) == 4
    found = sorted((record.meta.operator, record.meta.seed) for record in dataset.episodes)
    assert found == sorted(
        (operator, seed * 1_000_000 + i) for seed, operator in enumerate(operators) for i in range(8)
    )
    assert len(list(dataset.load_all())) == 32
    assert list((data / "journal").iterdir()) == []


def test_ctrl_c_is_heard_while_data_is_read(made: Made) -> None:
    datasets, stop = open_datasets([made.reach]), StopFlag()
    stop.requested = True
    with pytest.raises(Interrupted, match=r"^interrupted; the data was still being read; the same command "):
        load_replay(make_env(TaskConfig("fetch_reach")), datasets, stop, None)
