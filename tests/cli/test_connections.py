"""Connections that all clients share: the trusted certificates are read once, and still decide."""

import ssl
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import botocore.session
import pytest
from botocore.config import Config
from botocore.exceptions import SSLError

from bench.accounts import write_tls
from jitrctl import connections

CONFIG = Config(connect_timeout=5, read_timeout=5, retries={"total_max_attempts": 1})


class Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = b'{"registrationCode": "x"}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An endpoint with TLS; its certificate is among those of `trusted.pem`."""
    monkeypatch.setattr(connections, "_kept", {})
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*write_tls(tmp_path))
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield f"https://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def client(url: str, account: str) -> Any:
    made = botocore.session.Session().create_client(
        "iot",
        region_name="eu-central-1",
        endpoint_url=url,
        config=CONFIG,
        aws_access_key_id=account,
        aws_secret_access_key="x",
    )
    return connections.shared(made, CONFIG)


def test_clients_of_several_accounts_read_the_trusted_certificates_once(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_CA_BUNDLE", str(tmp_path / "trusted.pem"))
    read: list[str] = []

    class Context(ssl.SSLContext):
        def load_verify_locations(self, *files: Any, **named: Any) -> None:
            read.append(str(files or named))
            super().load_verify_locations(*files, **named)

    monkeypatch.setattr("botocore.httpsession.SSLContext", Context)

    for account in ("111111111111", "222222222222", "333333333333"):
        assert client(url, account).get_registration_code()["registrationCode"] == "x"

    assert len(read) == 1


def test_an_endpoint_that_nobody_trusts_is_not_spoken_to(url: str) -> None:
    with pytest.raises(SSLError, match="CERTIFICATE_VERIFY_FAILED"):
        client(url, "111111111111").get_registration_code()


def test_a_file_of_trusted_certificates_that_cannot_be_read_is_named_when_it_is_needed(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_CA_BUNDLE", str(tmp_path / "none.pem"))
    one = client(url, "111111111111")
    with pytest.raises(SSLError, match="No such file"):
        one.get_registration_code()
