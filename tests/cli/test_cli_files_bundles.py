"""A bundle that is damaged or none is neither deployed nor replaced."""

from collections.abc import Callable
from pathlib import Path

import pytest
from cli_tools import Made, Refused, contents, flip_byte

pytestmark = pytest.mark.e2e  # works on a dataset, a run and a bundle that commands made
Copy = Callable[[str], Path]


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
