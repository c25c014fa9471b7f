"""The page of a real run in a real browser, at the widths of a phone and of a desk, light and dark."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium
import pytest
from browsers import chromium

import envs  # noqa: F401  registers the tasks
from robot_orl.cli import main
from robot_orl.data.store.reader import Dataset
from robot_orl.report.page import write_report
from robot_orl.report.sources import Sources, read_sources
from robot_orl.report.takes import find_takes
from robot_orl.tasks import TaskConfig, make_env
from robot_orl.training.runs.run import Run

pytestmark = pytest.mark.e2e
SMALL = ["agent.hidden=[64,64]", "steps=300", "eval_every=100", "eval_episodes=2", "final_episodes=5"]


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """data, run and bundle of fetch_reach; its cloning is cut so short that it fails."""
    root = tmp_path_factory.mktemp("finished")
    data, run, bundle = f"{root / 'data'}", f"{root / 'run'}", f"{root / 'bundle'}"
    for words in (
        ["collect", "task=fetch_reach", "episodes=20", f"out={data}"],
        ["pretrain", f"data={data}", f"out={run}", "baseline_steps=2", *SMALL],
        ["finetune", f"run={run}", "env_steps=100", "warmup_steps=50", "eval_every=50", "final_episodes=5"],
        ["export", f"run={run}", f"out={bundle}"],
        ["deploy", f"bundle={bundle}", "duration_s=1"],
        ["report", f"run={run}"],
    ):
        assert main(words) == 0
    return root


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as opened:
        yield opened


@pytest.mark.parametrize("width", [320, 390, 700, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_is_whole_at_every_width(browser: Any, finished: Path, width: int, scheme: Any) -> None:
    page = browser.new_page(viewport={"width": width, "height": 844}, color_scheme=scheme)
    requests, complaints = [], []
    page.on("request", lambda request: requests.append(request.url))
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    file = (finished / "run" / "report.html").as_uri()
    page.goto(file)
    page.wait_for_function("[...document.images].every(image => image.complete)")

    assert {url for url in requests if not url.startswith("data:")} == {file}
    assert complaints == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    sizes = page.evaluate("[...document.images].map(image => [image.naturalWidth, image.naturalHeight])")
    assert sizes == [[480, 360], [480, 360]]
    summary = json.loads((finished / "run" / "summary.json").read_text())
    expected = [summary[part]["success"] for part in ("data", "bc", "offline", "online")]
    values = page.evaluate("[...document.querySelectorAll('data')].map(d => [d.value, d.innerText])")
    assert [float(value) for value, _ in values] == expected
    assert [said.split("%")[0].strip() for _, said in values] == [f"{round(100 * v, 1):g}" for v in expected]
    assert page.evaluate(SMALLEST_TEXT_PX) >= 9.5
    cards = page.evaluate("[...document.querySelectorAll('#diagnosis h3')].map(h => h.innerText)")
    assert cards[:3] == ["Q against return, offline", "Q against return, online", "Bias of Q"]
    assert cards[-1] == "Online data"
    page.close()


# The smallest text of the charts that are shown, in pixels of the screen.
SMALLEST_TEXT_PX = """() => Math.min(...[...document.querySelectorAll('svg.chart text')].map(text => {
    const chart = text.ownerSVGElement;
    const scale = chart.getBoundingClientRect().width / chart.viewBox.baseVal.width;
    return scale > 0 ? scale * parseFloat(getComputedStyle(text).fontSize) : Infinity;
}))"""


def test_less_motion_on_request(browser: Any, finished: Path) -> None:
    page = browser.new_page(reduced_motion="reduce")
    page.goto((finished / "run" / "report.html").as_uri())
    page.wait_for_function("[...document.images].every(image => image.complete)")
    assert page.evaluate(
        "[...document.images].map(i => i.currentSrc === i.parentElement.children[0].srcset && i.naturalWidth)"
    ) == [480, 480]
    page.close()


def test_nothing_is_missing_from_the_page_of_a_finished_run(finished: Path) -> None:
    assert 'class="missing"' not in (finished / "run" / "report.html").read_text()


def test_the_page_is_small_enough_to_send(finished: Path) -> None:
    assert (finished / "run" / "report.html").stat().st_size < 3_000_000


@pytest.fixture(scope="module")
def env() -> Iterator[gymnasium.Env[Any, Any]]:
    made = make_env(TaskConfig("fetch_reach"))
    yield made
    made.close()


def takes_of(root: Path, env: gymnasium.Env[Any, Any]) -> tuple[Any, Sources]:
    sources = read_sources(Run.open(root / "run"), None)
    return find_takes(sources, env, clock=lambda: 0.0), sources


def test_failure_and_success_begin_at_the_same_start(finished: Path, env: gymnasium.Env[Any, Any]) -> None:
    takes, _ = takes_of(finished, env)
    assert (takes.before.who, takes.after.who) == ("bc", "online")
    assert not takes.before.episode.meta.success
    assert takes.after.episode.meta.success
    assert (takes.before.episode.sim_state[0] == takes.after.episode.sim_state[0]).all()
    assert f"the same start: evaluation seed {takes.before.episode.meta.seed}" in takes.note


def test_without_a_failing_baseline_the_failure_is_a_demonstration(
    finished: Path, env: gymnasium.Env[Any, Any], tmp_path: Path
) -> None:
    """A demonstration that failed was begun by the same reset, so the start is the same bit for bit."""
    root = Path(shutil.copytree(finished, tmp_path / "copy"))
    (root / "run" / "checkpoints" / "bc.ckpt").unlink()
    takes, sources = takes_of(root, env)
    assert any(not record.meta.success for record in Dataset.open(sources.config["data"][0]).episodes)
    assert takes.before.who == "data"
    assert (takes.before.episode.sim_state[0] == takes.after.episode.sim_state[0]).all()
    assert takes.note.startswith("There is no other policy to compare with, so the failure is one of the")


def test_a_damaged_checkpoint_leaves_a_page_that_says_so(finished: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(finished, tmp_path / "copy"))
    (root / "run" / "checkpoints" / "online.ckpt").write_bytes(b"RORLCKP1 but not a whole one")
    html = write_report(Run.open(root / "run"), None, None).read_text()
    assert "No video: " in html
    assert "online.ckpt is damaged" in html
