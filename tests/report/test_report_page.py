"""What the page says of runs that are whole, begun, moved, or meant badly."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from report_toys import HOSTILE, deploy_figures, write_run

from robot_orl.data.store.reader import Dataset
from robot_orl.errors import DataError, RunError, UsageError
from robot_orl.report.page import write_report
from robot_orl.training.runs.run import Run

VOID = {"meta", "link", "img", "source", "br"}


class Page(HTMLParser):
    """Text of each section and values of <data>; fails on tags that are not closed in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.sections: dict[str, str] = {"": ""}
        self.values: list[str] = []
        self.tags: list[str] = []
        self._open: list[str] = []
        self._section = ""
        self.feed(html)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.tags.append(tag)
        if tag not in VOID:
            self._open.append(tag)
        if tag == "section":
            self._section = found["id"] or ""
        if tag == "data":
            self.values.append(found["value"] or "")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.sections[self._section] = self.sections.get(self._section, "") + data


def read(run: Run, deploy: str | None = None) -> Page:
    return Page(write_report(run, None, deploy).read_text())


def test_headline_numbers_are_those_of_the_summary(tmp_path: Path) -> None:
    page = read(write_run(tmp_path))
    assert page.values == ["0.5", "0.4", "0.7", "0.98"]
    assert "98% success, learned from demonstrations of which 50% succeed" in page.sections[""]
    assert "49 of 50 episodes" in page.sections["results"]
    assert "2 of 4 episodes" in page.sections["results"]
    assert "15 to 85%" in page.sections["results"]  # Wilson of 2 in 4: 0.5 +- 0.35


def test_every_section_shows_its_part(tmp_path: Path) -> None:
    page = read(write_run(tmp_path))
    assert "behaviour cloning: 40%" in page.sections["curve"]
    assert "online, 50 environment steps: 49%" in page.sections["curve"]
    assert "Length: 5 for each of 4 episodes" in page.sections["data"]
    assert "0.1 to 0.2" in page.sections["data"]  # a bin of qualities
    assert "p50 6 µs, p99 15 µs, p99.9 15 µs, max 15 µs; 99 ticks" in page.sections["deploy"]
    assert "clipped 3" in page.sections["deploy"]
    assert "not permitted" in page.sections["deploy"]
    assert "robot-orl pretrain" in page.sections["reproduce"]


def test_a_task_of_no_simulator_has_no_video_and_says_so(tmp_path: Path) -> None:
    said = read(write_run(tmp_path)).sections["clips"]
    assert "No video: the task cannot be made here (no task 'toy'" in said


def test_the_page_needs_nothing_from_elsewhere(tmp_path: Path) -> None:
    html = write_report(write_run(tmp_path), None, None).read_text()
    addresses = re.findall(r"""(?:src|href|srcset)=["']([^"']*)|url\(([^)]*)\)|@import""", html)
    assert addresses
    assert all(address.startswith("data:") for address, _ in addresses)
    assert "default-src 'none'" in html


@pytest.mark.parametrize("task", [HOSTILE, '"><img src=x onerror=alert(1)>', "$style ${header} $$"])
def test_hostile_names_are_text(tmp_path: Path, task: str) -> None:
    root = tmp_path / "a <script> & 'b'"
    root.mkdir()
    whole = read(write_run(tmp_path / "a <script> & 'b'", task))
    assert "script" not in whole.tags
    assert "img" not in whole.tags
    assert f"task {task}" in whole.sections[""]


def test_hostile_strings_in_every_source_are_text(tmp_path: Path) -> None:
    run = write_run(tmp_path)
    deploy = deploy_figures("toy") | {"robot": HOSTILE, "clock": HOSTILE, "fault": HOSTILE}
    deploy |= {"stopped_by": HOSTILE, "safety": {HOSTILE: 1}}
    deploy["realtime"] = {HOSTILE: {"obtained": True, "reason": HOSTILE}}
    (tmp_path / "bundle" / "deploy.json").write_text(json.dumps(deploy))
    run.update_summary({"packages": {HOSTILE: HOSTILE}, "git_revision": HOSTILE})
    page = read(run)
    assert "script" not in page.tags
    assert page.sections["deploy"].count(HOSTILE) == 7
    assert page.sections["reproduce"].count(HOSTILE) == 3


def test_a_run_that_has_only_begun_says_what_is_missing(tmp_path: Path) -> None:
    run = write_run(tmp_path)
    (run.path / "summary.json").unlink()
    (run.path / "metrics.jsonl").unlink()
    page = read(run)
    assert "No policy is trained yet" in page.sections[""]
    assert page.values == ["", "", ""]
    assert "No evaluation was logged yet." in page.sections["curve"]
    assert "not exported and deployed yet" in page.sections["deploy"]


def test_a_run_without_online_stage_says_so(tmp_path: Path) -> None:
    page = read(write_run(tmp_path, stages=("bc", "offline")))
    assert page.values == ["0.5", "0.4", "0.7", ""]
    assert "Not finetuned yet" in page.sections["results"]
    assert "Nothing was logged online yet." in page.sections["curve"]
    assert "70% success" in page.sections[""]


def test_a_run_of_cloning_alone_shows_its_curve(tmp_path: Path) -> None:
    page = read(write_run(tmp_path, stages=("bc",)))
    assert "bc, 20 updates: 40%" in page.sections["curve"]
    assert "40% success" in page.sections[""]


def test_a_dataset_that_moved_is_named(tmp_path: Path) -> None:
    run = write_run(tmp_path)
    (tmp_path / "data").rename(tmp_path / "elsewhere")
    page = read(run)
    assert f"no dataset at {tmp_path / 'data'}" in page.sections["data"]
    assert page.values[0] == "0.5"  # the summary still knows
    assert f"the data must lie at {tmp_path / 'data'}" in page.sections["reproduce"]


def test_what_a_query_selected_is_shown_and_repeated_as_it_was_typed(tmp_path: Path) -> None:
    page = read(write_run(tmp_path, where="quality > 0.3 and success"))
    assert "learned from: 2 episodes, those where quality > 0.3 and success." in page.sections["data"]
    assert "'where=quality > 0.3 and success'" in page.sections["reproduce"]


@pytest.mark.parametrize("where", [None, "success"])
def test_data_that_have_changed_since_are_told(tmp_path: Path, where: str | None) -> None:
    run = write_run(tmp_path, where=where)
    assert "not what they were" not in read(run).sections["data"]
    dataset = Dataset.open(tmp_path / "data")
    dataset.delete(dataset.episodes[-1:], "bad")
    learned = 4 if where is None else 2
    told = f"The data are not what they were: then {learned} episodes were learned from."
    assert told in read(run).sections["data"]


def test_a_deployment_beside_which_somebody_stood_tells_how_often_they_took_over(tmp_path: Path) -> None:
    run, file = write_run(tmp_path), tmp_path / "bundle" / "deploy.json"
    assert "taken over" not in read(run).sections["deploy"]
    figures = deploy_figures("toy") | {"operator": "browser"}
    figures["interventions"] = {"times": 3, "steps": 24, "of_steps": 96}
    file.write_text(json.dumps(figures))
    assert "taken over3 timesby browser, 25% of the steps" in read(run).sections["deploy"]


@pytest.mark.parametrize("content", [None, "{", '{"robot": "sim"}', "[]"])
def test_a_bundle_without_readable_deployment_is_said(tmp_path: Path, content: str | None) -> None:
    run, file = write_run(tmp_path), tmp_path / "bundle" / "deploy.json"
    file.unlink() if content is None else file.write_text(content)
    assert "There is no deployment to show" in read(run).sections["deploy"]


@pytest.mark.parametrize(
    "change",
    [{"success": 3}, {"histograms": {}}, {"realtime": {"clock": None}}, {"period_error_us": {"count": 1}}],
)
def test_a_deployment_with_malformed_fields_is_said(tmp_path: Path, change: dict[str, object]) -> None:
    run = write_run(tmp_path)
    (tmp_path / "bundle" / "deploy.json").write_text(json.dumps(deploy_figures("toy") | change))
    assert "a field is missing or malformed" in read(run).sections["deploy"]


def test_a_wrong_deploy_path_is_refused(tmp_path: Path) -> None:
    run = write_run(tmp_path)
    with pytest.raises(UsageError, match=r"cannot read .*nowhere\.json: No such file"):
        write_report(run, None, str(tmp_path / "nowhere.json"))
    with pytest.raises(UsageError, match=r"cannot read .*: Is a directory"):
        write_report(run, None, str(tmp_path))
    with pytest.raises(DataError, match=r"summary\.json is not a deploy\.json: it has no robot"):
        write_report(run, None, str(run.path / "summary.json"))
    other = tmp_path / "other.json"
    other.write_text(json.dumps(deploy_figures("another")))
    with pytest.raises(UsageError, match="is of task 'another', the run of 'toy'"):
        write_report(run, None, str(other))
    assert not (run.path / "report.html").exists()


def test_a_given_deployment_is_the_one_shown(tmp_path: Path) -> None:
    other = tmp_path / "other.json"
    other.write_text(json.dumps(deploy_figures("toy") | {"ticks": 777}))
    assert "777" in read(write_run(tmp_path), str(other)).sections["deploy"]


def test_the_page_goes_where_it_is_asked_to(tmp_path: Path) -> None:
    run = write_run(tmp_path)
    assert write_report(run, None, None) == run.path / "report.html"
    assert write_report(run, str(tmp_path / "new" / "page.html"), None).stat().st_size > 10_000
    with pytest.raises(RunError, match=f"cannot write report {tmp_path}"):
        write_report(run, str(tmp_path), None)
    assert not [file for file in tmp_path.rglob("*.partial")]


def test_damaged_files_of_the_run_are_refused(tmp_path: Path) -> None:
    run = write_run(tmp_path)
    (run.path / "summary.json").write_text("{")
    with pytest.raises(DataError, match=r"summary\.json is damaged"):
        write_report(run, None, None)
    (run.path / "config.yaml").write_text("agent: {name: awac}\n")
    with pytest.raises(DataError, match="has no whole 'task'"):
        write_report(run, None, None)
