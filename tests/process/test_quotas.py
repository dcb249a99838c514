"""What limits do around a crash: slots are free again, and nobody is alerted twice."""

import asyncio
import http.server
import json
import threading
from contextlib import asynccontextmanager, contextmanager

import aiohttp
import apsw

from proxy.store.replay import check
from tests.kit.processes import house


@asynccontextmanager
async def asking(built):
    headers = {"authorization": f"Bearer {built.key}"}
    async with aiohttp.ClientSession(headers=headers) as session:

        def ask(*, stream=False, user="ann", tokens=50):
            body = {
                "model": "chat",
                "messages": [{"role": "user", "content": "hi"}],
                "max_completion_tokens": tokens,
                "stream": stream,
                "user": user,
            }
            return session.post(built.base_url + "/chat/completions", json=body)

        yield ask


async def status(asked) -> int:
    async with asked as response:
        await response.read()
        return response.status


def rows(built, sql):
    connection = apsw.Connection(str(built.folder / "ledger.db"), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.close()


AT_ONCE = "\nlimits:\n  - {per: user, streams: 1}\n"


def test_a_call_at_once_is_free_again_after_a_kill_and_is_each_persons_own(tmp_path):
    async def story(built):
        async with asking(built) as ask:
            async with ask(stream=True, tokens=2000) as running:
                assert await running.content.readline()
                assert await status(ask()) == 429
                assert await status(ask(user="bob")) == 200
                await asyncio.to_thread(built.kill, "proxy")
        await asyncio.to_thread(built.serve)
        async with asking(built) as ask:
            assert [await status(ask()) for _ in range(3)] == [200, 200, 200]

    with house(tmp_path, extra=AT_ONCE) as built:
        built.script("{first: [{when: {stream: true}, do: {tokens: 2000, chunk_delay: 200ms}}]}")
        asyncio.run(story(built))
        built.kill("proxy", how=15)
        assert {held for (held,) in rows(built, "SELECT held FROM balances")} == {0}
        assert check(built.folder / "ledger.db") == ()


TOKENS = "\nlimits:\n  - {per: tenant, tokens: 1_000_000, every: month}\n"


def test_a_stream_that_a_kill_cuts_off_is_charged_what_was_seen_of_it(tmp_path):
    async def story(built) -> int:
        async with asking(built) as ask, ask(stream=True, tokens=5000) as running:
            seen = 0
            while (seen := seen + 1) < 5000 and await running.content.readline():
                if seen % 20 == 0 and rows(built, "SELECT 1 FROM open_calls WHERE seen IS NOT NULL"):
                    break
            await asyncio.to_thread(built.kill, "proxy")
        await asyncio.to_thread(built.serve)
        return seen

    with house(tmp_path, extra=TOKENS) as built:
        built.script("{first: [{do: {tokens: 5000, chunk_delay: 20ms}}]}")
        lines = asyncio.run(story(built))
        built.kill("proxy", how=15)
        sql = "SELECT result, source, upstream, input_tokens, output_tokens FROM rows WHERE kind = 'expire'"
        ((result, source, upstream, prompt, output),) = rows(built, sql)
        ((used, held),) = rows(built, "SELECT used, held FROM balances")
        assert check(built.folder / "ledger.db") == ()
    assert (result, source, upstream) == ("crash_settled", "observed", "first")
    assert 32 <= output <= 4 * lines, "neither nothing nor the worst case"
    assert (used, held) == (prompt + output, 0)


@contextmanager
def receiver():
    """An address that takes what is posted to it; (its port, what came, an event for each)."""
    got, came = [], threading.Semaphore(0)

    class Taking(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            got.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(204)
            self.end_headers()
            came.release()

        def log_message(self, *_):
            """Not to standard error."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Taking) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_address[1], got, came
        finally:
            server.shutdown()
            thread.join()


def test_a_mark_is_posted_once_a_window_whatever_dies_in_between(tmp_path):
    async def ask_twice(built):
        async with asking(built) as ask:
            assert [await status(ask()) for _ in range(2)] == [200, 200]

    with receiver() as (port, got, came):
        extra = "\nlimits:\n  - {per: tenant, requests: 4, every: month, alert: [50]}\n"
        extra += f"alerts:\n  webhook: http://127.0.0.1:{port}/canary\n"
        with house(tmp_path, extra=extra) as built:
            asyncio.run(ask_twice(built))
            assert came.acquire(timeout=30)
            built.kill("proxy")
            built.serve()
            asyncio.run(ask_twice(built))
            assert came.acquire(timeout=30)
            built.kill("proxy", how=15)
            assert [each["mark"] for each in got] == [50, 100]
            assert "canary" not in built.log()
