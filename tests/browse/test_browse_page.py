"""`dataset browse` as a person meets it: a real process, and its page in a real browser."""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from browse_toys import STEPS, episode, recorded, spec
from browsers import PATIENCE_S, Visitor, chromium
from children import child
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from robot_orl.data.store import Dataset, SegmentWriter

pytestmark = pytest.mark.e2e
PHONE = {"viewport": {"width": 390, "height": 800}, "has_touch": True, "is_mobile": True}


@contextmanager
def browsing(path: Path, *words: str) -> Iterator[tuple[Any, str]]:
    """The process, and where its page is. It ends as Ctrl-C ends it."""
    command = [sys.executable, "-m", "robot_orl.cli", "dataset", "browse", path, "port=0", *words]
    with child(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        line = process.stdout.readline()
        found = re.search(r"browse at (\S+)", line)
        assert found, line
        yield process, found[1]
        process.send_signal(signal.SIGINT)
    assert process.returncode == 0


HELPERS = """
  globalThis.view_at = step => player.view.poses && player.view.poses.length > 0
    && player.take.moment(step).every((x, i) => x === player.view.poses[i]);
  globalThis.footage = () => {
    const {canvas} = player.footage[0];
    const [red] = canvas.getContext("2d").getImageData(9, 9, 1, 1).data;
    return canvas.width === 32 ? Math.round(red / 10) : null;
  };
  globalThis.showMany = () => {
    const like = dataset.episodes[0];
    const made = i => ({...like, id: `made:${i}`, segment: "made", number: i});
    table.show(Array.from({length: 10000}, (_, i) => made(i)));
  };
  null;
"""


class Person(Visitor):
    SHOWN = "[JSON.stringify(seen), show('problem').innerText, show('toast').innerText]"

    def __init__(self, browser: Any, url: str, **options: Any) -> None:
        super().__init__(browser, url, **options)
        self.until("table.episodes.length")
        self.tell(HELPERS)

    def seeds(self) -> list[int]:
        """Of the listed episodes, in their order."""
        return self.tell("table.episodes.map(episode => episode.seed)")  # type: ignore[no-any-return]

    def lists(self, *seeds: int) -> None:
        self.until(f"String(table.episodes.map(e => e.seed)) === '{','.join(map(str, seeds))}'")

    def filters(self, where: str) -> None:
        self.page.fill("#where", where)
        self.page.keyboard.press("Enter")

    def opens(self, seed: int) -> None:
        self.tell(f"table.rows.get(table.episodes.find(e => e.seed === {seed}).id).click()")
        self.until(f"player.take?.title === seen.open && dataset.byId.get(seen.open).seed === {seed}")


def test_a_person_sorts_filters_plays_and_labels_and_finds_it_again(tmp_path: Path) -> None:
    path = recorded(tmp_path / "data", [episode(n, has_camera=True) for n in range(6)])
    with chromium(webgl=True) as browser, browsing(path) as (_, url):
        person = Person(browser, url, viewport={"width": 1280, "height": 800})
        page = person.page
        person.lists(0, 1, 2, 3, 4, 5)
        person.until("table.episodes.every(e => thumbnails.made.get(e.id))")
        drawn = "thumbnails.made.get(table.episodes[0].id)"
        assert person.tell(f"[{drawn}.width, {drawn}.height]") == [120, 90], "drawn here, no frame of 32 x 24"

        page.click(".heads .c-quality button")
        person.lists(5, 4, 3, 2, 1, 0)
        page.click(".heads .c-quality button")
        person.lists(0, 1, 2, 3, 4, 5)
        page.click(".heads .c-actor button")
        assert person.tell("saidShares(table.episodes[2])") == "intervention 75%, policy 25%"
        person.lists(2, 5, 1, 4, 0, 3)
        person.filters("success and quality > 0.2")
        person.lists(2, 4)
        person.filters("quality >")
        person.until("!show('problem').hidden")
        assert page.inner_text("#problem") == "where, column 10: expected a value, found the end"
        assert person.seeds() == [2, 4], "what was listed stays"

        person.opens(4)
        person.until("view_at(0) && footage() === 0")
        page.focus(".curves")
        page.keyboard.press("End")
        person.until(f"view_at({STEPS}) && footage() === {STEPS}")
        page.keyboard.press("ArrowLeft")
        person.until(f"view_at({STEPS - 1}) && footage() === {STEPS - 1}")
        box = page.locator(".curves").bounding_box()
        page.mouse.move(box["x"] + box["width"] - 20, box["y"] + 40)
        page.mouse.down()
        page.mouse.move(box["x"] + 60, box["y"] + 40, steps=3)
        page.mouse.up()
        person.until("player.timeline.step === 0")
        page.click(".play")
        person.until(f"player.timeline.step === {STEPS} && view_at({STEPS})")

        page.click("#labels [data-label=success][data-value=false]")
        person.until("show('toast').textContent.includes('1 episode, success: false')")
        page.click("#undo")
        person.until("show('toast').textContent.includes('Undone in 1 episode')")
        page.keyboard.press("n")
        person.until("dataset.byId.get(seen.open).success === false")
        page.fill("#labels [data-text=reason]", "watched again")
        page.fill("#labels [data-text=notes]", "slipped, then lost")
        page.keyboard.press("Enter")
        person.until("dataset.byId.get(seen.open).notes === 'slipped, then lost'")

        person.opens(2)
        page.fill("#labels [data-text=notes]", "of the second")
        person.tell("history.back()")
        person.until("dataset.episodes[2].notes === 'of the second'")
        person.until("player.take?.title === seen.open && seen.open === dataset.episodes[4].id")
        assert page.input_value("#labels [data-text=notes]") == "slipped, then lost", "its own"
        page.fill("#labels [data-text=notes]", "of the fourth")
        person.tell("history.back()")
        person.until("dataset.episodes[4].notes === 'of the fourth' && !seen.open")
        page.click("#undo")
        person.until("dataset.episodes[4].notes === 'slipped, then lost'")
        person.until("show('labels').ariaBusy === 'false'")
        person.opens(4)
        person.filters("notes has 'slip'")
        person.lists(4)
        address = page.url

        again = Person(browser, address, **PHONE)
        again.until("player.take && player.take.title === seen.open")
        assert again.seeds() == [4]
        assert again.page.input_value("#labels [data-text=notes]") == "slipped, then lost"
        assert again.tell("document.documentElement.scrollWidth") == 390
        assert "watched again" in again.tell("show('changes').textContent")
        again.page.tap("#back")
        again.filters("")
        again.lists(2, 5, 1, 4, 0, 3)
        for seed in (0, 2):
            row = again.tell(f"table.episodes.find(e => e.seed === {seed}).id")
            again.page.tap(f"[data-id='{row}'] .c-pick")
        again.until("show('how-many').textContent === '2 episodes selected'")
        again.page.tap("#many [data-label=quality][data-value='1']")
        again.until("show('toast').textContent.includes('2 episodes, quality: 1')")
        again.page.tap("#many [data-drop]")
        again.lists(5, 1, 4, 3)
        again.page.tap("#deleted")
        again.lists(2, 0)
        person.until("dataset.episodes[2].deleted")
        assert [person.errors, again.errors] == [[], []]
        own = re.match(r"http://([^/]*)/", url)
        assert own
        for asked in person.asked + again.asked:
            assert re.match(rf"(http|ws)://{own[1]}/|blob:|data:", asked), "no request leaves for elsewhere"
    records = Dataset.open(path).records
    assert [record.deleted for record in records] == [True, False, True, False, False, False]
    assert [record.meta.quality for record in records] == [1.0, 0.125, 1.0, 0.375, 0.5, 0.625]
    assert (records[4].meta.success, records[4].meta.notes) == (False, "slipped, then lost")
    assert records[2].meta.notes == "of the second"


def test_what_another_process_records_is_listed_and_labelled_once_it_is_done(
    tmp_path: Path,
) -> None:
    path = recorded(tmp_path / "data", [episode(0, has_camera=True, has_state=False)])
    query = "where=success or not success"
    with chromium() as browser, browsing(path, query) as (process, url):
        person = Person(browser, url)
        assert person.page.input_value("#where") == "success or not success"
        picture = "thumbnails.made.get(table.episodes[0].id)"
        person.until(picture)
        assert person.tell(f"[{picture}.width, {picture}.height]") == [32, 24], "the recorded frame"
        person.opens(0)
        assert "3-D" in person.page.inner_text("#flat")
        person.until("footage() === 0")
        person.page.keyboard.press("End")
        person.until(f"footage() === {STEPS}")
        with SegmentWriter(path, spec(has_camera=True), "other") as writer:
            writer.append(episode(1, has_camera=True, notes="<b>not bold</b>"))
            person.page.click("#refresh")
            person.lists(0, 1)
            assert "being written by process" in person.page.inner_text("#writing")
            person.opens(1)
            assert (
                person.tell("document.querySelector('.row.open .c-notes').textContent") == "<b>not bold</b>"
            )
            person.page.keyboard.press("y")
            person.until("show('toast').textContent.includes('is being written by process')")
        person.page.keyboard.press("y")
        person.until("show('toast').textContent.includes('1 episode, success: true')")
        log = path / "segments" / person.tell("dataset.episodes[1].segment") / "episodes.jsonl"
        log.rename(tmp_path / "log")
        log.mkdir()
        for row in person.tell("dataset.episodes.map(e => e.id)"):
            person.page.click(f"[data-id='{row}'] .c-pick input")
        person.page.click("#many [data-label=quality][data-value='1']")
        person.until("show('toast').textContent.includes('1 of 2 episodes were changed before')")
        assert person.tell("dataset.episodes.map(e => e.quality)") == [1, 0.125]
        person.page.click("#undo")
        person.until("show('toast').textContent.includes('Undone in 1 episode')")
        assert person.tell("dataset.episodes.map(e => e.quality)") == [0, 0.125]
        log.rmdir()
        (tmp_path / "log").rename(log)
        person.until("!asking.waiting.size")
        person.tell("showMany()")
        assert person.tell("document.querySelectorAll('.row').length") < 60
        person.tell("table.scroller.scrollTop = 1e9")
        person.until("[...table.rows.keys()].includes('made:9999')")
        assert person.tell("document.querySelectorAll('.row').length") < 60
        process.send_signal(signal.SIGINT)
        process.wait(PATIENCE_S)
        person.until("show('lost').innerText === 'Looking for the server'")
        assert person.errors == []


def test_other_machines_need_the_token_and_no_message_ends_the_server(tmp_path: Path) -> None:
    path = recorded(tmp_path / "data", [episode(0)])
    with browsing(path, "host=0.0.0.0") as (_, url):
        at = re.sub("//[^:]*:", "//127.0.0.1:", url)
        bare, _, token = at.partition("?token=")
        for refused in (bare, f"{bare}?token=guess", f"{bare}etc/passwd?token={token}"):
            with pytest.raises(HTTPError, match=r"403|404"):
                urlopen(refused, timeout=PATIENCE_S)
        with urlopen(at, timeout=PATIENCE_S) as page:
            assert "default-src 'none'" in page.headers["Content-Security-Policy"]
        asks = f"ws{bare.removeprefix('http')}asks"
        for query, origin in (("", None), ("?token=guess", None), (f"?token={token}", "http://elsewhere")):
            with pytest.raises(InvalidStatus, match="403"):
                connect(asks + query, origin=origin, open_timeout=PATIENCE_S)  # type: ignore[arg-type]
        with connect(f"{asks}?token={token}", open_timeout=PATIENCE_S) as wire:
            for sent, why in (
                ("nonsense", "no JSON"),
                (json.dumps({"say": "take", "number": 1, "episode": "../../x:0"}), "no episode '../../x:0'"),
                (json.dumps({"say": "match", "number": 2, "where": "quality >"}), "where, column 10"),
            ):
                wire.send(sent)
                assert why in json.loads(wire.recv(PATIENCE_S))["why"]
            wire.send(json.dumps({"say": "list", "number": 3}))
            assert len(json.loads(wire.recv(PATIENCE_S))["found"]["rows"]) == 1
