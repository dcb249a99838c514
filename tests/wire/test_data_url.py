"""What lies inside a request: read leniently, judged by its first bytes, never decoded whole."""

from base64 import b64encode

import pytest

from proxy.wire.data_url import Inline, inline, parse


def encoded(data):
    return b64encode(data).decode()


PNG = encoded(b"\x89PNG\r\n\x1a\n" + b"\0" * 16)
MAGIC = [
    (b"\x89PNG\r\n\x1a\n" + b"\0" * 16, "image/png"),
    (b"\xff\xd8\xff\xe0" + b"\0" * 16, "image/jpeg"),
    (b"GIF89a" + b"\0" * 16, "image/gif"),
    (b"RIFF\x10\0\0\0WEBPVP8 ", "image/webp"),
    (b"%PDF-1.7\n", "application/pdf"),
]


@pytest.mark.parametrize(("data", "media_type"), MAGIC)
@pytest.mark.parametrize("said", ["", "image/png", "application/octet-stream"])
def test_the_first_bytes_know_better_than_the_label(data, media_type, said):
    assert inline(encoded(data), said) == Inline(media_type, encoded(data))


@pytest.mark.parametrize(
    ("url", "found"),
    [
        (f"data:image/png;base64,{PNG}", Inline("image/png", PNG)),
        (f"DATA:IMAGE/PNG;Base64,{PNG}", Inline("image/png", PNG)),
        (f"data:;base64,{PNG}", Inline("image/png", PNG)),
        ("data:text/plain;charset=utf-8;base64,aGk=", Inline("text/plain", "aGk=")),
        ("data:text/plain;base64,aG\r\n k=", Inline("text/plain", "aGk=")),
        (" data:text/plain;base64,aGk=", Inline("text/plain", "aGk=")),
        ("data:x/y;base64,ä", Inline("x/y", "ä")),
        ("data:;base64,", Inline("", "")),
        ("data:text/plain,hello", None),
        ("data:text/plain;base64", None),
        ("https://example.com/a.png", None),
        ("data:" + "x" * 5000 + ";base64,aGk=", None),
        ("", None),
    ],
)
def test_a_data_url_is_read_leniently(url, found):
    assert parse(url) == found
