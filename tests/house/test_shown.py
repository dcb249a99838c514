"""A record that is shown, in an error or a log, shows nothing of what was asked, answered or paid with."""

import pytest

from proxy.call import Call, Identity, Memory, UpstreamRequest
from proxy.server.shapes import Answer
from proxy.usage import Usage
from proxy.wire.dialect import Reply

CANARY = "canary"
SAID = CANARY.encode()
ASKED = {"model": "m", "messages": [{"role": "user", "content": CANARY}]}
BEARER = (("authorization", f"Bearer {CANARY}"),)
CALL = Call("req_1", 0, Identity("acme", "key_1"), "m", ASKED, 60, stream=False, include_usage=False)


@pytest.mark.parametrize(
    "record",
    [
        CALL,
        UpstreamRequest("/chat/completions", BEARER, SAID),
        Memory(("call_1",), SAID),
        Reply(SAID, Usage(1, 1), (Memory(("call_1",), SAID),)),
        Answer(200, {}, SAID),
        (CALL, {"of": CALL}),
    ],
    ids=lambda record: type(record).__name__,
)
def test_what_is_said_is_not_shown(record):
    assert CANARY not in repr(record)
    assert CANARY not in str(record)
