"""The whole path as a user walks it: real processes, the documented words, files of the agreed content."""

import ctypes
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cli_tools import TRAIN, TUNE, Made, contents, metrics, run

pytestmark = pytest.mark.e2e


def done(*words: object, **options: Any) -> str:
    """stdout of a command that must succeed."""
    result = run(list(words), **options)
    assert result.returncode == 0, result.stderr
    assert "Traceback" not in result.stderr
    return result.stdout


def test_from_demonstrations_to_data_again(tmp_path: Path) -> None:
    """From another folder, by the installed entry point, with relative paths."""
    entry = shutil.which("robot-orl", path=str(Path(sys.executable).parent))
    assert entry is not None

    def command(*words: str) -> str:
        process = subprocess.run([entry, *words], cwd=tmp_path, capture_output=True, text=True, timeout=60)
        assert process.returncode == 0, process.stderr
        return process.stdout

    said = command("collect", "task=fetch_reach", "operator=scripted", "episodes=10", "out=data/reach")
    assert said.startswith("data/reach: 10 episodes, 500 transitions, ")
    command("pretrain", "agent=awac", "data=data/reach", "out=runs/reach", *TRAIN)
    command("finetune", "run=runs/reach", *TUNE)
    command("evaluate", "run=runs/reach", "episodes=3")
    command("export", "run=runs/reach", "out=bundles/reach")
    command("deploy", "bundle=bundles/reach", "robot=sim", "duration_s=2.5", "record=data/deployed")
    check_run_folder(tmp_path / "runs" / "reach")
    check_deployment(tmp_path / "bundles" / "reach" / "deploy.json")
    info = json.loads(command("dataset", "info", "data/deployed", "--json"))
    assert (info["task"], info["control_hz"], info["transitions"]) == (
        "fetch_reach",
        25.0,
        deployed_ticks(tmp_path),
    )
    assert info["episodes"] >= 1
    assert 0 <= info["success"] <= 1
    command("pretrain", "data=[data/reach,data/deployed]", "out=runs/again", *TRAIN, "threads=2")
    summary = json.loads((tmp_path / "runs" / "again" / "summary.json").read_text())
    assert summary["data"]["episodes"] == 10 + info["episodes"]
    assert summary["data"]["transitions"] == 500 + info["transitions"]


def deployed_ticks(root: Path) -> int:
    return int(json.loads((root / "bundles" / "reach" / "deploy.json").read_text())["ticks"])


def check_run_folder(folder: Path) -> None:
    import yaml

    config = yaml.safe_load((folder / "config.yaml").read_text())
    assert config["agent"]["hidden"] == [16, 16]
    assert (config["steps"], config["task"]["name"]) == (20, "fetch_reach")
    assert "${" not in (folder / "config.yaml").read_text()  # resolved
    rows = metrics(folder)
    assert all({"stage", "step", "env_steps", "wall_s"} < row.keys() for row in rows)
    assert [row["stage"] for row in rows] == sorted((row["stage"] for row in rows), key=STAGES.index)
    assert {row["step"] for row in rows if row["stage"] == "offline"} == {5, 10, 15, 20}
    assert {row["env_steps"] for row in rows if row["stage"] == "online"} == {50, 100}
    assert [row["eval/episodes"] for row in rows if "eval/success" in row] == [2, 1, 2, 1, 2]
    for stage in STAGES:
        assert list((folder / "tensorboard" / stage).glob("events.out.tfevents.*"))
        assert (folder / "checkpoints" / f"{stage}.ckpt").is_file()
    check_summary(json.loads((folder / "summary.json").read_text()))


STAGES = ["bc", "offline", "online"]


def check_summary(summary: dict[str, Any]) -> None:
    assert (summary["task"], summary["agent"], summary["seed"]) == ("fetch_reach", "awac", 0)
    data = summary["data"]
    assert (data["episodes"], data["transitions"]) == (10, 500)
    assert 0 <= data["success"] <= 1
    for stage, episodes, env_steps in zip(STAGES, (2, 2, 3), (0, 0, 100), strict=True):
        entry = summary[stage]
        low, high = entry["wilson95"]
        assert 0 <= low <= entry["success"] <= high <= 1
        assert (entry["episodes"], entry["env_steps"]) == (episodes, env_steps)
        assert summary["wall_s"][stage] > 0
    assert {"python", "torch", "mujoco", "robot-orl"} <= summary["packages"].keys()


def check_deployment(file: Path) -> None:
    figures = json.loads(file.read_text())
    assert figures["ticks"] + figures["missed_slots"] == figures["slots"] == 62  # 2.5 s at 25 Hz
    assert (figures["period_ms"], figures["task"]) == (40.0, "fetch_reach")
    for name in ("period_error_us", "inference_us"):
        times = figures[name]
        assert times["p50"] <= times["p99"] <= times["p99.9"] <= times["max"]
        assert 0 < times["count"] <= 62
    assert {"clipped", "rate_limited", "non_finite", "stale"} <= figures["safety"].keys()
    assert figures["realtime"]
    success = figures["success"]
    assert success["episodes"] == 1  # 50 ticks; the second was cut short
    assert len(success["wilson95"]) == 2


def test_evaluating_twice_says_and_writes_the_same(made: Made, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(made.run, folder)
    first = done("evaluate", f"run={folder}", "episodes=4")
    before = contents(folder)
    assert done("evaluate", f"run={folder}", "episodes=4") == first
    assert contents(folder) == before
    assert first.startswith("online: success ")


def test_a_finished_command_does_nothing_when_repeated(made: Made, tmp_path: Path) -> None:
    reach, folder = tmp_path / "reach", tmp_path / "run"
    shutil.copytree(made.reach, reach)
    shutil.copytree(made.run, folder)
    before = contents(reach)
    said = done("collect", "task=fetch_reach", "episodes=10", f"out={reach}")
    assert said.startswith(f"{reach} already holds these 10 episodes of 'scripted' with seed=0; ")
    assert contents(reach) == before
    kept = ("checkpoints", "metrics.jsonl", "online")
    before = {name: digest for name, digest in contents(folder).items() if name.startswith(kept)}
    done("pretrain", f"data={made.reach}", f"out={folder}", *TRAIN)
    said = done("finetune", f"run={folder}", *TUNE)
    assert f"run {folder} has its 100 environment steps already; ask for more env_steps=" in said
    after = {name: digest for name, digest in contents(folder).items() if name.startswith(kept)}
    assert after == before


def test_a_sweep_over_seeds_makes_a_run_of_its_own_for_each(made: Made, tmp_path: Path) -> None:
    words = [*TRAIN, "steps=5"]
    words.remove("steps=20")
    done("pretrain", f"data={made.reach}", "out=runs", "seed=0,1", "--multirun", *words, cwd=tmp_path)
    for seed in (0, 1):
        summary = json.loads((tmp_path / "runs" / f"seed={seed}" / "summary.json").read_text())
        assert summary["seed"] == seed
    first, second = (metrics(tmp_path / "runs" / f"seed={seed}") for seed in (0, 1))
    assert first[0]["actor/loss"] != second[0]["actor/loss"]


def test_the_limits_of_the_export_hold_on_the_robot(made: Made, tmp_path: Path) -> None:
    folder, bundle = tmp_path / "run", tmp_path / "bundle"
    shutil.copytree(made.run, folder)
    counts = []
    for limit in ("max_action_delta=2", "max_action_delta=0.001"):
        done("export", f"run={folder}", f"out={bundle}", "stage=offline", limit, "max_observation_age_s=5")
        done("deploy", f"bundle={bundle}", "duration_s=1", "seed=3")
        figures = json.loads((bundle / "deploy.json").read_text())
        counts.append(figures["safety"]["rate_limited"])
        assert (figures["config"]["bundle"], figures["config"]["seed"]) == (str(bundle), 3)
        assert figures["config"]["robot"]["name"] == "sim"
    assert counts[0] == 0 < counts[1]
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["bundle"] == str(bundle)
    assert summary["export"] == {
        "run": str(folder),
        "out": str(bundle),
        "stage": "offline",
        "which": "last",
        "max_action_delta": 0.001,
        "max_observation_age_s": 5.0,
        "critic": True,
        "alarm": True,
        "alarm_rate": 0.001,
        "held_out": None,
    }


def test_deploying_loads_no_torch(made: Made, tmp_path: Path) -> None:
    script = (
        "import sys; from robot_orl.cli import main; "
        "code = main(sys.argv[1:]); print('torch' in sys.modules); sys.exit(code)"
    )
    words = ["deploy", f"bundle={made.bundle}", "duration_s=0.2", f"out={tmp_path / 'deploy.json'}"]
    words.append(f"record={tmp_path / 'recorded'}")
    command = [sys.executable, "-c", script, *words]
    process = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert process.returncode == 0, process.stderr
    assert process.stdout.splitlines()[-1] == "False"


PR_CAPBSET_DROP, CAP_DAC_OVERRIDE = 24, 1  # <sys/prctl.h>, <linux/capability.h>


def obey_permissions() -> None:
    """In the child, before it becomes the command: root, too, is bound by file modes from now on."""
    if os.getuid() == 0 and ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, CAP_DAC_OVERRIDE) != 0:
        os._exit(77)


def test_without_write_permission_there_is_one_line_and_no_harm(made: Made, tmp_path: Path) -> None:
    folder = tmp_path / "locked"
    shutil.copytree(made.root, folder)
    before = contents(folder)
    lock(folder, 0o222)
    try:
        out = folder / "new"
        for words, code in (
            (["collect", "task=fetch_reach", "episodes=1", f"out={out}"], 1),
            (["collect", "task=fetch_reach", "episodes=11", f"out={folder / 'reach'}"], 1),
            (["pretrain", f"data={folder / 'reach'}", f"out={out}", *TRAIN], 2),
            (["export", f"run={folder / 'run'}", f"out={out}"], 2),
            (["deploy", f"bundle={folder / 'bundle'}", "duration_s=0.2"], 2),
        ):
            result = run(list(words), preexec_fn=obey_permissions)
            if result.returncode == 77:
                pytest.skip("root may not give up its right to write everywhere")
            lines = [line for line in result.stderr.splitlines() if line.startswith("robot-orl: ")]
            assert (result.returncode, len(lines)) == (code, 1), result.stderr
            assert f"cannot write {folder}" in lines[0].replace("run folder ", "").replace("bundle ", "")
            assert "Traceback" not in result.stderr
        assert contents(folder) == before
    finally:
        lock(folder, 0)


def lock(folder: Path, without: int) -> None:
    """Take these bits away from the mode of everything in a folder; 0 makes it writable again."""
    for path in (folder, *folder.rglob("*")):
        path.chmod((path.stat().st_mode | 0o200) & ~without)


@pytest.fixture
def small_disk(tmp_path: Path) -> Any:
    """An empty disk of 2 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("mounting a tmpfs is not permitted here")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_full_disk_while_collecting_loses_no_committed_episode(small_disk: Path) -> None:
    data = small_disk / "data"
    (small_disk / "ballast").write_bytes(bytes(1_000_000))  # the journal takes half a megabyte
    words = ["collect", "task=fetch_reach", "episodes=400", f"out={data}"]
    result = run(list(words))
    assert result.returncode == 1, result.stderr
    last = result.stderr.splitlines()[-1]
    assert last.startswith(f"robot-orl: cannot write {data}")
    assert "No space left on device; committed episodes are safe" in last
    assert "Traceback" not in result.stderr
    kept = json.loads(done("dataset", "info", str(data), "--json"))["episodes"]
    assert kept > 1
    (small_disk / "ballast").unlink()
    words[2] = f"episodes={kept + 2}"
    assert f"{data}: {kept + 2} episodes, " in done(*words)
