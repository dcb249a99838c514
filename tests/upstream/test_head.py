"""The head of a request to an upstream: what frames it, and what may never be in it."""

import pytest

from proxy.call import UpstreamRequest
from proxy.upstream.client import head_of
from proxy.upstream.reaching import place_of

PLACE = place_of("http://upstream.test:8000/v1")


def head(*headers, path="/chat/completions"):
    return head_of(PLACE, UpstreamRequest(path, headers, b"{}"))


def test_a_head_is_the_request_line_the_host_the_headers_and_the_length():
    assert head(("x-own", "ü"), ("accept", "*/*")) == (
        b"POST /v1/chat/completions HTTP/1.1\r\n"
        b"host: upstream.test:8000\r\n"
        b"x-own: \xc3\xbc\r\n"
        b"accept: */*\r\n"
        b"content-length: 2\r\n"
        b"\r\n"
    )


def test_a_page_is_asked_for_with_the_method_that_pages_have():
    asked = head_of(place_of("http://upstream.test"), UpstreamRequest("/metrics", (), b"", method="GET"))
    assert asked == b"GET /metrics HTTP/1.1\r\nhost: upstream.test\r\ncontent-length: 0\r\n\r\n"


def test_a_head_without_headers_is_whole():
    assert head().endswith(b":8000\r\ncontent-length: 2\r\n\r\n")


@pytest.mark.parametrize("sign", ["\r", "\n", "\r\n", "\0"])
@pytest.mark.parametrize("where", ["{}", "a{}b", "{}x-forged: 1", "a{0}{0}"])
def test_what_would_split_a_head_is_refused(sign, where):
    said = where.format(sign)
    for headers, path in (
        ((("x-own", said),), "/chat"),
        (((f"x-own{said}", "a"),), "/chat"),
        ((), f"/chat{said}"),
    ):
        with pytest.raises(ValueError, match="split"):
            head(*headers, path=path)


def test_what_no_header_can_say_is_refused():
    with pytest.raises(UnicodeEncodeError):
        head(("x-own", "\ud800"))
