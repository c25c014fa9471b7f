"""What travels with a bundle, and what is said of bundles that do not go together."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from cli_tools import Made, Refused

from robot_orl.cli import main
from robot_orl.deploy.bundle import Bundle

pytestmark = pytest.mark.e2e  # works on a dataset, a run and a bundle that commands made
Copy = Callable[[str], Path]


def test_critics_and_alarm_travel_with_the_bundle_unless_they_are_not_wanted(
    made: Made, tmp_path: Path
) -> None:
    with_all = Bundle.load(made.bundle)
    assert with_all.critic is not None
    assert with_all.calibration is not None
    assert with_all.calibration.episodes >= 4
    words = ["export", f"run={made.run}", f"out={tmp_path / 'bare'}", "critic=false", "alarm=false"]
    assert main(words) == 0
    bare = Bundle.load(tmp_path / "bare")
    assert (bare.critic, bare.calibration) == (None, None)
    assert bare.policy_hash == with_all.policy_hash


def test_a_run_whose_data_are_gone_is_exported_without_an_alarm_and_says_so(
    made: Made, copy: Copy, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, gone = copy("run"), tmp_path / "gone"
    config = run / "config.yaml"
    config.write_text(config.read_text().replace(str(made.reach), str(gone)))
    assert main(["export", f"run={run}", f"out={tmp_path / 'out'}"]) == 0
    assert f"; no alarm: no dataset at {gone}" in capsys.readouterr().out
    assert Bundle.load(tmp_path / "out").calibration is None
    # Others' episodes will do, half of them as what is normal; those that it learned from would not.
    words = ["export", f"run={run}", f"out={tmp_path / 'out'}", f"held_out={made.reach}"]
    assert main(words) == 2
    said = f"held_out={made.reach}: the run learned from {made.reach}; give other data"
    assert capsys.readouterr().err == f"robot-orl: {said}\n"
    summary = json.loads((run / "summary.json").read_text())
    summary["data"]["fingerprint"] = "of other data"
    (run / "summary.json").write_text(json.dumps(summary))
    assert main(words) == 0
    alarm = Bundle.load(tmp_path / "out").calibration
    assert alarm is not None
    assert str(made.reach) in alarm.source


def test_too_few_held_out_episodes_are_refused(made: Made, tmp_path: Path, refused: Refused) -> None:
    words = ["export", f"run={made.push_run}", f"out={tmp_path / 'out'}", f"held_out={made.push}"]
    assert refused(*words) == f"held_out={made.push} has 2 episodes; give 4 or more"
    assert not (tmp_path / "out").exists()


def test_bundles_of_different_tasks_have_nothing_in_common(
    made: Made, tmp_path: Path, refused: Refused
) -> None:
    push = tmp_path / "push"
    assert main(["export", f"run={made.push_run}", f"out={push}"]) == 0
    said = refused("compare", f"bundle={push}", f"current={made.bundle}")
    assert "was made for task 'fetch_push'" in said
    said = refused("deploy", f"bundle={push}", f"shadow={made.bundle}")
    assert said == f"{push} was made for task 'fetch_push', not 'fetch_reach'"


def test_a_shadow_never_acts_so_nothing_is_swapped_beside_it(made: Made, refused: Refused) -> None:
    said = refused("deploy", f"bundle={made.bundle}", f"shadow={made.bundle}", "swap_file=swap")
    assert said == "shadow= and swap_file= do not go together: a shadow never acts"


def test_a_swap_file_to_be_is_in_a_folder_that_is_there(made: Made, tmp_path: Path, refused: Refused) -> None:
    file = tmp_path / "none" / "swap"
    said = refused("deploy", f"bundle={made.bundle}", f"swap_file={file}")
    assert said == f"swap_file={file}: there is no folder {file.parent}"
    said = refused("deploy", f"bundle={made.bundle}", f"swap_file={tmp_path}")
    assert said == f"swap_file={tmp_path} is a folder, a pipe or a device, and no file to be read"


def test_answers_that_cannot_be_written_are_refused_before_anything_moves(
    made: Made, copy: Copy, tmp_path: Path, refused: Refused
) -> None:
    bundle = copy("bundle")
    file = tmp_path / "none" / "answers.npz"
    words = "deploy", f"bundle={bundle}", f"answers={file}", "one_process=true", "priority=0"
    assert refused(*words) == f"cannot write {file}; choose another answers="
    assert not (bundle / "deploy.json").exists()
    shutil.rmtree(bundle)
    assert "no such bundle folder" in refused(*words)


def test_figures_that_cannot_be_written_are_refused_before_anything_is_played(
    made: Made, tmp_path: Path, refused: Refused
) -> None:
    words = "compare", f"bundle={made.bundle}", f"current={made.bundle}", "episodes=10000"
    for out in (tmp_path / "nowhere" / "compare.json", tmp_path):
        assert refused(*words, f"out={out}") == f"cannot write {out}; choose another out="
