"""Alerts posted to an address: once each, tried a few times, never in anybody's way, and without secrets."""

import asyncio
import logging
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial

import orjson
import pytest
from aiohttp import web

from proxy.holds import Alert
from proxy.notify import webhook
from proxy.notify.webhook import open_webhook
from proxy.table import Secret, Unit
from proxy.upstream.posting import post
from proxy.upstream.reaching import Reacher

DAY = 1_767_225_600
ALERT = Alert("tenant=acme/tokens/day", DAY, 75, 38_000, 50_000, Unit.TOKENS)
TOKEN = "T0K3N-canary"


@dataclass
class Receiver:
    """A server that answers as scripted (the last answer stays) and keeps what it was sent."""

    answers: list[int]
    got: list[tuple[str, dict]] = field(default_factory=list)
    pauses: list[float] = field(default_factory=list)
    url: str = ""
    heard: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, request):
        body = await request.read()
        self.got.append((request.path_qs, orjson.loads(body)))
        self.heard.set()
        status = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        headers = {"location": "/elsewhere"} if status == 307 else {}
        return web.Response(status=status, headers=headers)

    async def sleep(self, seconds):
        self.pauses.append(seconds)

    def address(self):
        return Secret(f"{self.url}/{TOKEN}?sig={TOKEN}")


@asynccontextmanager
async def receiving(*answers):
    receiver = Receiver(list(answers))
    runner = web.ServerRunner(web.Server(receiver))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    receiver.url = f"http://127.0.0.1:{port}"
    try:
        yield receiver
    finally:
        await runner.cleanup()


@asynccontextmanager
async def posting(receiver, address=None):
    async with open_webhook(address or receiver.address, partial(post, Reacher()), receiver.sleep) as alerts:
        yield alerts


async def quiet(alerts):
    await alerts.post(webhook.TRIES)


async def test_an_alert_is_posted_once_with_its_numbers():
    async with receiving(204) as receiver, posting(receiver) as alerts:
        alerts.alerted(ALERT)
        await quiet(alerts)
    assert receiver.got == [
        (
            f"/{TOKEN}?sig={TOKEN}",
            {
                "event": "limit_mark_crossed",
                "text": "Limit tenant=acme/tokens/day has crossed 75 %: "
                "38000 tokens of 50000 tokens since 2026-01-01T00:00:00Z.",
                "scope": "tenant=acme/tokens/day",
                "unit": "tokens",
                "window_start": "2026-01-01T00:00:00Z",
                "mark": 75,
                "used": 38_000,
                "ceiling": 50_000,
                "shadow": False,
            },
        )
    ]


async def test_no_document_says_whom_a_persons_counter_is_about():
    scope = "tenant=acme/user=5d41402abc4b/nano_usd/month/shadow"
    told = orjson.loads(webhook.document(Alert(scope, DAY, 100, 19_999_999_999, 2 * 10**10, Unit.NANO_USD)))
    assert told["scope"] == "tenant=acme/user=*/nano_usd/month/shadow"
    assert "5d41" not in str(told)
    assert "USD 19.99 of USD 20.00" in told["text"]
    assert told["shadow"] is True
    nobody = Alert("user=5d41/tokens/day", DAY, 75, 1, 1, Unit.TOKENS)
    assert b"5d41" not in webhook.document(nobody)


@pytest.mark.parametrize("failing", [500, 503, 429, 408])
async def test_what_may_pass_is_tried_again_after_growing_pauses(failing):
    async with receiving(failing, failing, 200) as receiver, posting(receiver) as alerts:
        alerts.alerted(ALERT)
        await quiet(alerts)
    assert (len(receiver.got), receiver.pauses) == (3, [1.0, 2.0])


@pytest.mark.parametrize(
    ("status", "tries"), [(500, webhook.TRIES), (404, 1), (400, 1), (307, 1), (302, 1)], ids=str
)
async def test_in_the_end_it_is_given_up_and_told_to_the_log_without_the_address(caplog, status, tries):
    async with receiving(status) as receiver, posting(receiver) as alerts:
        alerts.alerted(ALERT)
        await quiet(alerts)
        alerts.alerted(ALERT)
        await quiet(alerts)
    assert len(receiver.got) == 2 * tries, "a redirect is not followed, the next alert is tried all the same"
    told = [record for record in caplog.records if "did not take" in record.message]
    assert [record.why for record in told] == [f"status {status}"] * 2
    shown = "".join(str(vars(record)) for record in caplog.records)
    assert TOKEN not in shown
    assert "127.0.0.1" not in shown


async def test_a_server_that_is_not_there_costs_a_few_tries_and_no_secret(caplog):
    async with receiving(200) as receiver:
        gone = receiver.address()
    caplog.set_level(logging.DEBUG)
    async with posting(receiver, lambda: gone) as alerts:
        alerts.alerted(ALERT)
        await quiet(alerts)
    assert receiver.pauses == [1.0, 2.0, 4.0, 8.0]
    (record,) = [record for record in caplog.records if "did not take" in record.message]
    assert record.why == "ConnectionRefusedError"
    assert TOKEN not in "".join(str(vars(record)) for record in caplog.records)


async def test_an_edited_address_counts_from_the_next_try_on():
    async with receiving(500) as first, receiving(200) as second:
        addresses = [first.address(), second.address()]
        async with posting(first, lambda: addresses.pop(0)) as alerts:
            alerts.alerted(ALERT)
            await quiet(alerts)
    assert (len(first.got), len(second.got)) == (1, 1)


async def test_without_an_address_alerts_go_nowhere():
    async with receiving(200) as receiver, posting(receiver, lambda: None) as alerts:
        alerts.alerted(ALERT)
        await quiet(alerts)
    assert receiver.got == []


async def test_a_slow_server_fills_a_bounded_queue_and_holds_up_nobody(caplog):
    async with receiving(200) as receiver, posting(receiver, lambda: None) as alerts:
        for _ in range(webhook.QUEUE_MAX + 2):
            alerts.alerted(ALERT)  # returns at once: nobody delivers
        assert len(alerts._waiting) == webhook.QUEUE_MAX
    assert sum("left out" in record.message for record in caplog.records) == 2


async def test_the_duty_posts_whatever_comes_whenever_it_comes():
    async with receiving(200) as receiver, posting(receiver) as alerts, asyncio.TaskGroup() as group:
        duty = group.create_task(alerts.deliver())
        for count in (1, 2):
            receiver.heard.clear()
            alerts.alerted(ALERT)
            await receiver.heard.wait()
            assert len(receiver.got) == count
        duty.cancel()


async def test_a_stop_still_posts_what_waits():
    async with receiving(200) as receiver:
        async with posting(receiver) as alerts:
            alerts.alerted(ALERT)
        assert len(receiver.got) == 1
