"""Which source made this: the commit, and whether the files are still those of it."""

import subprocess
from pathlib import Path

import pytest

from robot_orl.data.store.provenance import git_revision

ME = ["-c", "user.name=me", "-c", "user.email=me@example.org"]


def git(*words: str, at: Path) -> str:
    return subprocess.run(["git", *words], cwd=at, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    git("init", "-q", at=tmp_path)
    (tmp_path / "source.py").write_text("1\n")
    git("add", "source.py", at=tmp_path)
    git(*ME, "commit", "-qm", "first", at=tmp_path)
    git(*ME, "tag", "-a", "v1", "-m", "a tag is not a commit", at=tmp_path)
    return tmp_path


def test_a_revision_is_the_whole_commit_and_says_when_tracked_files_differ(checkout: Path) -> None:
    commit = git("rev-parse", "HEAD", at=checkout)
    assert git_revision(checkout) == commit
    (checkout / "notes.txt").write_text("not tracked\n")
    assert git_revision(checkout) == commit
    (checkout / "source.py").write_text("2\n")
    assert git_revision(checkout) == f"{commit}-dirty"


def test_a_package_that_is_no_checkout_has_no_revision(checkout: Path) -> None:
    (checkout / "site-packages").mkdir()
    assert git_revision(checkout / "site-packages") is None
