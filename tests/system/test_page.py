"""The page in a real browser: at every stage of a run, on a phone and a desk, light and dark."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import statistics
import time
import urllib.parse
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest
from tests import browser, harness

from polybackfill import errors
from polybackfill.polymarket import endpoints
from polybackfill.reports import run_history

pytestmark = pytest.mark.skipif(browser.CHROMIUM is None, reason=browser.MISSING)

URL = re.compile(r"http://\S+/#token=\S+")
IMAGES = Path(__file__).parents[2] / "docs" / "images"
# `make crash ARGS="-k pictures"` with this set writes the pictures of the documents anew.
WRITE_IMAGES = "PAGE_IMAGES" in os.environ
WIDTHS = {360: 740, 1400: 900}
# What takes a browser longer is a long task, which delays a click (w3.org/TR/longtasks, 2026-11).
LONG_TASK_MS = 50


class Shown(NamedTuple):
    """A page in a tab of a browser, and the program that serves it."""

    tab: browser.Tab
    url: str
    server: harness.Daemon

    async def says(self, text: str, within_s: float = 30.0) -> None:
        """The page says so sooner or later."""
        await self.tab.until(f"document.body?.innerText.includes({text!r})", within_s)

    async def check(self, shots: Path, stage: str) -> None:
        """In both widths and by day and night it fits, and no browser complains."""
        for width, height in WIDTHS.items():
            for scheme in ("light", "dark"):
                await self.tab.resize(width, height, scheme)
                wide = await self.tab.run("document.documentElement.scrollWidth")
                assert wide <= width, f"{stage}: {wide} pixels wide on {width}"
                problems = await self.tab.audit()
                assert problems == [], f"{stage}, {width} pixels, {scheme}: {problems}"
                await self.tab.shoot(shots / f"{stage}-{width}-{scheme}.png")
        assert self.tab.complaints == []
        hosts = {urllib.parse.urlsplit(one).netloc for one in self.tab.requested if "://" in one}
        assert hosts == {urllib.parse.urlsplit(self.url).netloc}


@contextlib.asynccontextmanager
async def shown(ground: harness.Ground) -> AsyncIterator[Shown]:
    """The page of `polybackfill ui`, opened by its URL."""
    server = ground.start("ui", "--no-open")
    url = harness.until(lambda: URL.search(server.err()), "the URL of the page").group()
    async with browser.open_tab(ground.folder / "browser") as tab:
        await tab.resize(1400, 900, "light")
        await tab.open(url)
        await tab.until("document.querySelector('#answers > div') !== null")
        yield Shown(tab, url, server)
    server.signal(signal.SIGTERM)
    server.end(within_s=20).expect(0)


@pytest.fixture
def slow(ground: harness.Ground) -> harness.Ground:
    """A ground whose runs take some seconds."""
    ground.set(sleep_ms=150)
    return ground


async def test_a_run_from_its_start_over_a_restart_to_its_end(
    slow: harness.Ground, sandbox: harness.Sandbox, tmp_path: Path
) -> None:
    keys = slow.write_keys(sandbox)
    async with shown(slow) as page:
        await page.says("No run yet.")
        await page.check(tmp_path, "never")
        slow.set(sleep_ms=400)  # it must not end before it is killed
        run = slow.start("run", *keys)
        await page.says("Is it at the limit?")
        await page.tab.until("parseFloat(document.querySelector('#share').textContent) > 5")
        await page.tab.until("document.querySelectorAll('#map button').length > 20")
        await page.check(tmp_path, "middle")
        run.kill()
        await page.says("not running")
        assert "polybackfill run" in await page.tab.text()
        slow.set(sleep_ms=150)
        slow.start("run", *keys)
        await page.says("running: ")
        await page.check(tmp_path, "restarted")
        await page.says("Done, after ", within_s=120)
        await page.says("Nothing: every part is proven complete.")
        assert await page.tab.run("document.querySelector('#share').textContent") == "100 %"
        await page.tab.until("!document.querySelector('#map button:not(.done)')")
        await page.check(tmp_path, "finished")
        assert "token" not in str(await page.tab.run("location.href"))


async def test_a_stall_and_errors_are_named_with_what_to_do(
    ground: harness.Ground, sandbox: harness.Sandbox, tmp_path: Path
) -> None:
    ground.set(max_attempts=1, page_attempts=1)
    sandbox.faults({"kind": "400", "route": "activity", "match": sandbox.wallets[0]})
    ground.run("run", "wallets", "--wallet", ",".join(sandbox.wallets[:3])).expect(3)
    async with shown(ground) as page:
        await page.says("1 unit of wallets in error")
        assert "polybackfill plan reset --errors" in await page.tab.text()
        await page.tab.until("document.querySelector('#errors table') !== null")
        await page.check(tmp_path, "error")


async def test_a_stalled_worker_is_shown_with_its_stack(
    ground: harness.Ground, sandbox: harness.Sandbox, tmp_path: Path
) -> None:
    ground.set(stall_s=2, no_progress_s=120, request_deadline_s=60, max_attempts=99)
    sandbox.faults({"kind": "hang", "route": "activity"})
    run = ground.start("run", "wallets", "--wallet", ",".join(sandbox.wallets[:3]))
    async with shown(ground) as page:
        await page.tab.until("document.querySelectorAll('#workers tbody tr').length > 0", 60)
        assert "wallets:" in await page.tab.run("document.querySelector('#workers').textContent")
        await page.tab.until("document.querySelector('#stalls pre') !== null", 60)
        stack = await page.tab.run("document.querySelector('#stalls pre').textContent")
        assert "worker.py" in stack
        await page.says("stalled workers replaced")
        await page.check(tmp_path, "stalled")
        run.signal(signal.SIGTERM)
        run.end().expect(0)


def write_night(ground: harness.Ground) -> None:
    """Samples of twelve hours, in the place of those of the last run."""
    status_file = ground.data / "status" / "main.json"
    budgets = {name: 12.5 for name in ("/v2/*", "/v2/activity", "/v2/trades", "/markets")}
    now = time.time() - 60
    lines = (
        run_history.Sample(
            at=round(now - 15 * (2_880 - number), 1), share=number / 2_880, eta_s=3_600.0,
            rows_per_s=1_000.0 + number % 97, insert_lag_s=0.4, sent=budgets, allowed=budgets,
        )
        for number in range(2_880)
    )  # fmt: skip
    file = run_history.history_path(status_file)
    file.write_bytes(b"".join(msgspec.json.encode(line) + b"\n" for line in lines))


async def test_rows_set_aside_are_shown_as_text_whatever_they_hold(
    ground: harness.Ground, sandbox: harness.Sandbox
) -> None:
    hostile = "<img src=x onerror=alert(1)><script>alert(2)</script>"
    ground.run("run", "wallets", "--wallet", sandbox.wallets[0]).expect(0)
    columns = "quarantine_id, reason, request, raw, unit"
    ground.run(
        "sql", f"INSERT INTO quarantine ({columns}) VALUES ('1', 'why', '/', '{hostile}', 'u')"
    ).expect(0)
    async with shown(ground) as page:
        await page.tab.run("document.querySelector('#ask-aside').click()")
        await page.tab.until("document.querySelector('#aside table') !== null", 60)
        assert hostile in await page.tab.run("document.querySelector('#aside').textContent")
        assert await page.tab.run("document.querySelector('#aside img, #aside script') === null")
        assert page.tab.complaints == []


async def test_a_wallet_and_a_market_have_a_page_which_a_search_and_receipts_lead_to(
    ground: harness.Ground, sandbox: harness.Sandbox, tmp_path: Path
) -> None:
    market = next(row for row in sandbox.lines("markets") if row["question"].startswith("<script>"))
    condition = market["condition_id"]
    listed = ground.folder / "one.txt"
    listed.write_text(condition)
    ground.run("plan", "build", "--from", str(listed)).expect(0)
    ground.run("run").expect(0)
    sandbox.ask("stats/reset", {})
    async with shown(ground) as page:
        tab = page.tab
        await tab.until("document.querySelector('#map [data-kind=conditions] button') !== null")
        await tab.run("document.querySelector('#map [data-kind=conditions] button').click()")
        await tab.until("document.querySelector('#units-list a') !== null")
        await tab.run("document.querySelector('#units-list a').click()")
        await page.says(f"Market {condition}")
        assert not await tab.run("document.querySelector('#units').open")
        assert market["question"] in await tab.text()
        assert await tab.run("document.querySelectorAll('#subject svg .rise').length") > 0
        assert await tab.run("document.querySelector('#subject script, #subject b') === null")
        await page.says("/v2/live-volume is unknown: the API was not asked.")
        await page.check(tmp_path, "market")
        assert sandbox.asked() == {}
        await tab.run("document.querySelector('#subject-report button').click()")
        await tab.until("document.querySelector('#subject-report h3') !== null")
        assert "/v2/live-volume is unknown" not in await tab.text()
        assert list(sandbox.asked().values()) == [1]
        wallet = await tab.run("document.querySelector('#subject a[href*=\"at=0x\"]').textContent")
        await search(page, wallet)
        await page.says(f"Wallet {wallet}")
        await page.says("No profit is computed for this wallet yet")
        await search(page, market["slug"])
        await page.says(f"Market {condition}")
        await tab.run("history.back()")
        await page.says(f"Wallet {wallet}")
        for name, said in (
            (f"0x{'ab' * 20}", f"Nothing is stored about 0x{'ab' * 20}."),
            ("<img src=x>", "this name: '<img src=x>' is not a wallet or a market"),
            ("no-such-market", "the store does not know no-such-market"),
        ):
            await search(page, name)
            await page.says(said)
        await tab.run("document.querySelector('#subject a').click()")
        await page.says("Is anything wrong?")
        assert await tab.run("document.querySelector('#subject').hidden")
        assert tab.complaints == []


async def search(page: Shown, name: str) -> None:
    """Type a name into the search box."""
    await page.tab.run(f"document.querySelector('#name').value = {name!r}")
    await page.tab.run("document.querySelector('#search button').click()")


async def test_what_cannot_be_read_is_said_in_its_section_until_it_can(
    ground: harness.Ground,
) -> None:
    async with shown(ground) as page:
        await page.says("Unknown: there is no checkpoint to tell.")
        refuse = """window.known = window.fetch; window.fetch = async (path, options) =>
          path.startsWith("/checkpoint.json")
            ? new Response(JSON.stringify({ error: "it is damaged" }), { status: 503 })
            : window.known(path, options)"""
        await page.tab.run(f"{refuse}; 0")
        await page.says("Cannot be read now: it is damaged")
        assert await page.tab.run("document.querySelectorAll('.failure').length") == 2
        await page.tab.run("window.fetch = window.known; 0")
        await page.tab.until("document.querySelector('.failure') === null", 30)


async def test_a_server_that_falls_silent_is_no_connection(ground: harness.Ground) -> None:
    """As of a machine that sleeps, whose connection never ends; twenty seconds are two here."""
    async with shown(ground) as page:
        sooner = "window.setTimeout = (done, ms) => known(done, ms === 20_000 ? 2_000 : ms)"
        await page.tab.run(f"window.known = window.setTimeout; {sooner}; 0")
        await asyncio.sleep(2)  # an event has come since
        page.server.signal(signal.SIGSTOP)
        try:
            await page.says("No connection to polybackfill ui: what is shown is old.")
            assert await page.tab.run("document.title") == "disconnected · polybackfill"
        finally:
            page.server.signal(signal.SIGCONT)
        await page.tab.until("document.querySelector('#notice').hidden")
        assert await page.tab.run("document.title") == "never · polybackfill"


async def test_why_events_are_refused_is_said(ground: harness.Ground) -> None:
    async with shown(ground) as page:
        await page.tab.run("sessionStorage.clear()")
        await page.tab.open(page.url.partition("#")[0])
        await page.says("not signed in")
        refuse = """window.fetch = async () =>
          new Response(JSON.stringify({ error: "16 readers are there already" }), { status: 503 });
          document.querySelector("#token").value = "any";
          document.querySelector("#sign-in button").click()"""
        await page.tab.run(refuse)
        await page.says("16 readers are there already")


async def test_it_is_quick_small_and_works_by_keyboard(
    ground: harness.Ground, sandbox: harness.Sandbox
) -> None:
    ground.run("run", "wallets", "--wallet", ",".join(sandbox.wallets[:3])).expect(0)
    write_night(ground)
    async with shown(ground) as page:
        await page.tab.until("document.querySelectorAll('#charts figure').length == 7")
        assert page.tab.received_bytes < 250_000
        async with page.tab.timed_tasks() as cpu_ms:
            await page.tab.run("location.reload()")
            await page.tab.until("document.querySelectorAll('#map button').length == 3")
            await page.tab.until("document.querySelectorAll('#charts figure').length == 7")
        print(f"longest task of the first draw: {max(cpu_ms):.1f} ms, all: {sum(cpu_ms):.0f} ms")
        assert max(cpu_ms) < LONG_TASK_MS
        paints_ms = [await first_paint_ms(page.tab) for _ in range(5)]
        print(f"first paint: {', '.join(f'{one:.0f}' for one in paints_ms)} ms")
        assert statistics.median(paints_ms) < 1_000
        await page.tab.until("document.querySelectorAll('#map button').length == 3")
        await page.tab.run("document.querySelector('#map button').focus()")
        await page.tab.press("ArrowRight")
        label = "document.activeElement.getAttribute('aria-label')"
        assert await page.tab.run(label) == "wallets 2 to 2: 1 proven"
        await page.tab.press("Enter")
        await page.tab.until("document.querySelector('#units-list table') !== null")
        listed = await page.tab.run("document.querySelector('#units').textContent")
        assert sum(wallet in listed for wallet in sandbox.wallets[:3]) == 1
        await page.tab.press("Escape")
        assert not await page.tab.run("document.querySelector('#units').open")
        assert page.tab.complaints == []


async def test_it_stays_smooth_with_64_workers_and_twelve_hours_of_history(
    tmp_path: Path, prepared: harness.PreparedStore
) -> None:
    with (
        harness.sandbox(trades=8_000, wallets=400, markets=100, latency_ms=4_000) as api,
        harness.ground(tmp_path / "ground", api.url, prepared=prepared, workers=64) as place,
    ):
        (place.data / "status").mkdir(parents=True)
        write_night(place)
        run = place.start("run", *place.write_keys(api))
        await look_at_many_workers(place, run, tmp_path)
        run.signal(signal.SIGTERM)
        run.end().expect(0)


async def look_at_many_workers(place: harness.Ground, run: harness.Daemon, shots: Path) -> None:
    """The page while 64 workers and more hold a unit: no long task, and it costs little."""
    async with shown(place) as page:
        tab = page.tab
        await tab.until("document.querySelectorAll('#workers tbody tr').length >= 64", 60)
        await tab.until("document.querySelectorAll('#charts figure').length > 3")
        async with tab.timed_tasks() as cpu_ms:
            await asyncio.sleep(12)  # every section is drawn anew at least once
        assert run.running
        print(f"longest task: {max(cpu_ms):.1f} ms of CPU, {sum(cpu_ms) / 12:.1f} ms a second")
        assert max(cpu_ms) < LONG_TASK_MS
        assert sum(cpu_ms) / 12 < 100, "a tenth of a core, drawing included"
        await page.check(shots, "workers")


async def at_rest(tab: browser.Tab, expression: str) -> str:
    """The text of an expression, once two seconds change it no more: all rows are stored."""
    before = ""
    while (now := await tab.run(expression)) != before:
        before = now
        await asyncio.sleep(2)
    return before


async def first_paint_ms(tab: browser.Tab) -> float:
    """Of a page that is loaded anew; other programs of the machine may delay one."""
    await tab.run("location.reload()")
    paint = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime"
    return float(await tab.until(paint))


@pytest.mark.long
async def test_the_pictures_of_the_documents(
    tmp_path: Path, prepared: harness.PreparedStore
) -> None:
    """A run of everything, with one error, after a minute."""
    limits = dict.fromkeys(endpoints.PUBLISHED, 100)
    with (
        harness.sandbox(trades=60_000, wallets=900, markets=700, latency_ms=250) as api,
        harness.ground(
            tmp_path, api.url, prepared=prepared, limits=json.dumps(limits), workers="auto"
        ) as place,
    ):
        api.faults({"kind": "400", "route": "activity", "match": api.wallets[3]})
        run = place.start("run")
        async with shown(place) as page:
            samples = "document.querySelectorAll('#charts figure').length > 3"
            await page.tab.until(samples, within_s=120)
            await page.says("1 unit of wallets in error", 120)
            await asyncio.sleep(45)
            folder = IMAGES if WRITE_IMAGES else tmp_path
            for name, width, height, scheme in (
                ("page", 1200, 1000, "light"),
                ("page-phone", 360, 740, "dark"),
            ):
                await page.tab.resize(width, height, scheme)
                await page.tab.run("scrollTo(0, 0)")
                await page.tab.shoot(folder / f"{name}.png", whole=False)
            assert page.tab.complaints == []
            assert run.running
        run.signal(signal.SIGTERM)
        run.end().expect(0, 3)


def test_a_run_brings_its_page_which_ends_with_it(
    slow: harness.Ground, sandbox: harness.Sandbox
) -> None:
    run = slow.start("run", "--ui", *slow.write_keys(sandbox))
    harness.until(lambda: URL.search(run.err()), "the URL of the page")
    assert _answers(run.err())
    run.kill()  # the harshest end
    harness.until(lambda: not _answers(run.err()), "the end of the page", within_s=20)
    again = slow.run("run", "--ui", *slow.write_keys(sandbox))
    again.expect(0)
    assert not _answers(again.err)
    slow.run("run", "--ui", "--dry-run").expect(errors.EXIT_CONFIG)


def _answers(said: str) -> bool:
    """Whether somebody serves the page whose URL was printed."""
    found = URL.search(said)
    assert found is not None
    try:
        with urllib.request.urlopen(found.group().partition("#")[0], timeout=10) as page:  # noqa: S310
            return bool(page.status == 200)
    except OSError:  # refused, or reset by a server that is ending
        return False


async def test_a_part_is_paused_and_goes_on_and_the_run_is_stopped_in_order(
    ground: harness.Ground, sandbox: harness.Sandbox
) -> None:
    ground.set(sleep_ms=400, no_progress_s=3, stall_s=60)
    run = ground.start("run", "wallets", *ground.write_keys(sandbox)[:2])
    async with shown(ground) as page:
        button = "document.querySelector('#parts [data-kind=wallets] button')"
        await page.tab.until(f"{button}?.textContent === 'Pause' && !{button}.hidden")
        await page.tab.run(f"{button}.click()")
        await page.says("a person has paused wallets".capitalize())
        await page.tab.until("document.querySelector('#parts').innerText.includes('\\u2013')")
        done = "document.querySelector('#parts [data-label=keys]').textContent"
        before = await at_rest(page.tab, done)
        await asyncio.sleep(5)  # longer than a run may be without progress
        assert run.running
        assert await page.tab.run(done) == before
        await page.tab.run(f"{button}.click()")
        await page.tab.until(f"{done} !== {before!r}")
        await page.tab.run("window.confirm = () => true; document.querySelector('#drain').click()")
        await page.says("It was stopped after ")
        run.end(within_s=20).expect(0)
        assert page.tab.complaints == []


async def test_errors_are_tried_again_one_by_one_and_by_part_while_it_runs(
    ground: harness.Ground, sandbox: harness.Sandbox
) -> None:
    """One unit before the run, which takes it up at its start, and the part's others meanwhile."""
    ground.set(max_attempts=1, page_attempts=1)
    first, second, *others = sandbox.wallets[:8]
    listed = ground.folder / "wallets.txt"
    listed.write_text("\n".join([first, second, *others]))
    ground.run("plan", "build", "--from", str(listed)).expect(0)
    sandbox.faults(*({"kind": "400", "route": "activity", "match": one} for one in (first, second)))
    ground.run("run", "wallets", "--limit", "2").expect(3)
    sandbox.faults({"kind": "400", "route": "activity", "match": second})
    async with shown(ground) as page:
        tab = page.tab
        await tab.until("document.querySelector('#map [data-kind=wallets] button.error') !== null")
        await tab.run("document.querySelector('#map [data-kind=wallets] button.error').click()")
        await tab.until("document.querySelector('#units-list button') !== null")
        failed = await tab.run("document.querySelector('#units-list a').textContent")
        await tab.run("document.querySelector('#units-list button').click()")
        await page.says("1 will be tried again.")
        sandbox.faults(
            {"kind": "400", "route": "activity", "match": {first: second, second: first}[failed]}
        )
        ground.set(sleep_ms=1_500, workers=1)
        run = ground.start("run", "wallets")
        in_error = "document.querySelector('#parts .errors').textContent"
        button = "document.querySelector('#retries button')"
        await page.says("running: ")
        await tab.until(f"{in_error} === '1'")
        sandbox.faults()
        await tab.run(f"{button}.click()")
        await tab.until(f"{in_error} === '0'")
        assert run.running
        run.end(within_s=120).expect(0)
        await page.says("Nothing: every part is proven complete.")
        await tab.until("document.querySelector('#retries button') === null")
        assert tab.complaints == []
    statuses = (
        "SELECT toString(status) AS status, count() FROM wallet_backfill_plan GROUP BY status"
    )
    assert ground.run("sql", statuses, "--format", "CSV").out.strip() == '"done",8'
    ids = "SELECT count() = uniqExact(external_trade_id) FROM external_trades_raw"
    assert ground.run("sql", ids, "--format", "CSV").out.strip() in {"true", "1"}
