import subprocess

import pytest

from proxy.upstream.client import open_upstreams


@pytest.fixture
async def out():
    async with open_upstreams() as upstreams:
        yield upstreams


@pytest.fixture(scope="session")
def certificates(tmp_path_factory):
    """Self-signed certificates over one key: `good.pem`, `elsewhere.pem`, `expired.pem`; `key.pem`."""
    folder = tmp_path_factory.mktemp("certificates")

    def openssl(*words):
        subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True, timeout=30)

    try:
        openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "key.pem")
        for name, subject, days in (
            ("good", "IP:127.0.0.1", "2"),
            ("elsewhere", "DNS:elsewhere.test", "2"),
            ("expired", "IP:127.0.0.1", "-1"),
        ):
            words = ("-key", "key.pem", "-subj", "/CN=test", "-addext", f"subjectAltName={subject}")
            openssl("req", "-new", *words, "-out", "request.pem")
            words = ("-signkey", "key.pem", "-copy_extensions", "copy", "-days", days)
            openssl("x509", "-req", "-in", "request.pem", *words, "-out", f"{name}.pem")
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"certificates need an openssl of version 3: {error}")
    return folder
