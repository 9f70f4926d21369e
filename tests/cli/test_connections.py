"""Trusted certificates are read once for all clients, and still decide; all else of a client stays botocore's."""

import ssl
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import Any

import botocore.session
import pytest
from botocore.config import Config
from botocore.exceptions import ProxyConnectionError, SSLError
from botocore.httpsession import URLLib3Session
from botocore.loaders import Loader

from bench.accounts import write_tls
from jitrctl.session import tls_cache

LOADER = Loader()  # reads the service's model once
ACCOUNT = "111111111111"
MORE_THAN_ONE_MANAGER_KEEPS = 12  # urllib3's PoolManager keeps ten hosts


class Answer(BaseHTTPRequestHandler):
    """AWS IoT, and a proxy that leads nowhere."""

    protocol_version = "HTTP/1.1"

    def setup(self) -> None:
        super().setup()
        self.server.connections.append(self.client_address)  # type: ignore[attr-defined]

    def do_GET(self) -> None:
        body = b'{"registrationCode": "x"}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_CONNECT(self) -> None:
        self.send_error(502)

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def serving(context: ssl.SSLContext | None = None) -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    server.connections = []  # type: ignore[attr-defined]
    if context:
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture(autouse=True)
def _nothing_read_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tls_cache, "_trusting", {})
    for name in ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "HTTPS_PROXY", "https_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def tls(tmp_path: Path) -> ssl.SSLContext:
    """The endpoint's; its certificate is for 127.0.0.1, and among those of `trusted.pem`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*write_tls(tmp_path))
    return context


@pytest.fixture
def url(tls: ssl.SSLContext) -> Iterator[str]:
    with serving(tls) as server:
        yield f"https://127.0.0.1:{server.server_port}"


@pytest.fixture
def trusted(tls: ssl.SSLContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The endpoint is trusted."""
    _ = tls  # writes the file
    monkeypatch.setenv("AWS_CA_BUNDLE", str(tmp_path / "trusted.pem"))
    return str(tmp_path / "trusted.pem")


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Each time that a file of trusted certificates is read."""
    read: list[str] = []

    class Context(ssl.SSLContext):
        def load_verify_locations(self, *files: Any, **named: Any) -> None:
            read.append(str(files or named))
            super().load_verify_locations(*files, **named)

    monkeypatch.setattr("botocore.httpsession.SSLContext", Context)
    return read


def plain(url: str, account: str = ACCOUNT, *, verify: Any = None, **config: Any) -> Any:
    """A client as botocore makes it."""
    core = botocore.session.Session()
    core.register_component("data_loader", LOADER)
    return core.create_client(
        "iot",
        region_name="eu-central-1",
        endpoint_url=url,
        config=Config(connect_timeout=5, retries={"total_max_attempts": 1}, **config),
        verify=verify,
        aws_access_key_id=account,
        aws_secret_access_key="x",
    )


def client(url: str, account: str = ACCOUNT, **options: Any) -> Any:
    return tls_cache.with_trust_read_once(plain(url, account, **options))


def session(client: Any) -> Any:
    return client._endpoint.http_session


def code(client: Any) -> str:
    return str(client.get_registration_code()["registrationCode"])


@pytest.mark.usefixtures("trusted")
def test_clients_of_several_accounts_read_the_trusted_certificates_once(url: str, read: list[str]) -> None:
    for account in ("111111111111", "222222222222", "333333333333"):
        assert code(client(url, account)) == "x"
    assert len(read) == 1


def test_clients_keep_their_connections_however_many_hosts_the_fleet_has() -> None:
    with ExitStack() as stack:
        servers = [stack.enter_context(serving()) for _ in range(MORE_THAN_ONE_MANAGER_KEEPS)]
        clients = [client(f"http://127.0.0.1:{server.server_port}") for server in servers]
        for _ in range(2):
            assert {code(one) for one in clients} == {"x"}
        for one in clients:
            one.close()
        assert [len(server.connections) for server in servers] == [1] * len(servers)  # type: ignore[attr-defined]


def test_an_endpoint_that_nobody_trusts_is_not_spoken_to(url: str) -> None:
    with pytest.raises(SSLError, match="CERTIFICATE_VERIFY_FAILED"):
        code(client(url))


@pytest.mark.usefixtures("trusted")
def test_an_endpoint_whose_trusted_certificate_is_for_another_name_is_not_spoken_to(url: str) -> None:
    with pytest.raises(SSLError, match="localhost"):
        code(client(url.replace("127.0.0.1", "localhost")))


@pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
def test_what_one_client_trusts_another_that_does_not_still_refuses(url: str, trusted: str) -> None:
    assert code(client(url)) == "x"
    with pytest.raises(SSLError, match="CERTIFICATE_VERIFY_FAILED"):
        code(client(url, verify=botocore.httpsession.where()))
    assert code(client(url, verify=False)) == "x"
    with pytest.raises(SSLError, match="CERTIFICATE_VERIFY_FAILED"):
        code(client(url, verify=botocore.httpsession.where()))
    assert code(client(url, verify=trusted)) == "x"


def test_a_file_of_trusted_certificates_that_cannot_be_read_is_named_when_it_is_needed(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_CA_BUNDLE", str(tmp_path / "none.pem"))
    one = client(url)
    with pytest.raises(SSLError, match="No such file"):
        code(one)


@pytest.mark.usefixtures("trusted")
def test_behind_a_proxy_with_tls_the_proxy_is_trusted_by_the_same_file(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", url)  # which says 502 to whoever speaks to it
    with pytest.raises(ProxyConnectionError) as raised:
        code(client("https://iot.example.org"))
    assert "502" in str(raised.value.kwargs["error"])


@pytest.mark.usefixtures("trusted")
def test_behind_a_plain_proxy_the_trusted_certificates_are_read_once_too(
    read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving() as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.server_port}")
        one = client("https://iot.example.org")
        with pytest.raises(ProxyConnectionError) as raised:
            code(one)
    assert "502" in str(raised.value.kwargs["error"])
    (manager,) = session(one)._proxy_managers.values()
    assert manager.connection_pool_kw["ssl_context"] is next(iter(tls_cache._trusting.values()))
    assert len(read) == 1


@pytest.mark.parametrize(
    "options",
    [
        {"client_cert": "mine.pem"},
        {"client_cert": ("mine.pem", "mine.key")},
        {"proxies": {"https": "https://proxy:1"}},
        {"proxies_config": {"proxy_ca_bundle": "proxy.pem"}},
        {"verify": False},
        {"verify": "none.pem"},
    ],
    ids=str,
)
def test_a_client_with_tls_of_its_own_stays_as_botocore_made_it(options: dict[str, Any]) -> None:
    one = client("https://iot.example.org", **options)
    assert not {"_get_ssl_context", "_setup_ssl_cert"} & vars(session(one)).keys()
    assert session(one)._manager.connection_pool_kw["ssl_context"] not in tls_cache._trusting.values()


@pytest.mark.usefixtures("trusted")
def test_a_clients_other_settings_stay(url: str) -> None:
    options: dict[str, Any] = {"tcp_keepalive": True, "max_pool_connections": 3, "read_timeout": 7}
    ours, botocores = session(client(url, **options)), session(plain(url, **options))
    for name in ("_socket_options", "_max_pool_connections"):
        assert getattr(ours, name) == getattr(botocores, name)
    assert ours._socket_options
    assert ours._timeout.read_timeout == 7


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize("name", ["_proxy_config", "_manager", "_cert_file", "_key_file", "_verify"])
def test_another_botocore_is_left_alone(url: str, name: str) -> None:
    one = plain(url)
    delattr(session(one), name)
    before = dict(vars(session(one)))
    assert tls_cache.with_trust_read_once(one) is one
    assert vars(session(one)) == before


@pytest.mark.parametrize("name", ["_get_ssl_context", "_setup_ssl_cert"])
def test_a_method_of_botocores_that_has_another_name_leaves_clients_alone(
    url: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = plain(url)
    monkeypatch.delattr(URLLib3Session, name)
    before = dict(vars(session(one)))
    assert tls_cache.with_trust_read_once(one) is one
    assert vars(session(one)) == before


@pytest.mark.parametrize("strange", [SimpleNamespace(), SimpleNamespace(_endpoint=None)])
def test_what_is_no_client_that_we_know_is_left_alone(strange: Any) -> None:
    assert tls_cache.with_trust_read_once(strange) is strange
