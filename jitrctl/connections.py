"""Connections to AWS that all clients of this process share, and the certificates that they trust, read once.

botocore gives each client a pool of connections of its own, and reads the file of trusted certificates anew for each
connection: 70 ms of a processor every time, which for fifty accounts with four clients each is most of what a look at
them takes (bench/accounts.py). Whose call it is stands in its signature and not in the connection, so accounts share.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from botocore.httpsession import URLLib3Session, get_cert_path

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

# As many to one host as threads may ask it at once: each stage is worked on in a thread (across.py).
MOST_TO_A_HOST = 16

_kept: dict[tuple[Any, ...], URLLib3Session] = {}
_making = threading.Lock()


def shared(client: Any, config: Any) -> Any:
    """The client, with its connections among those that all clients made with this botocore Config share."""
    endpoint = client._endpoint  # noqa: SLF001 -- botocore has no way to be given connections
    given = endpoint.http_session
    trusted, proxies = given._verify, given._proxy_config._proxies  # noqa: SLF001 -- as botocore found them
    key = (trusted, config.connect_timeout, config.read_timeout, tuple(sorted(proxies.items())))
    with _making:
        if key not in _kept:
            _kept[key] = _Session(trusted=trusted, config=config, proxies=proxies)
    given.close()
    endpoint.http_session = _kept[key]
    return client


class _Session(URLLib3Session):
    """botocore's, but that all of its connections have one TLS context, which has read the trusted certificates."""

    def __init__(self, *, trusted: Any, config: Any, proxies: Mapping[str, str]) -> None:
        self._trusted = trusted
        self._context: ssl.SSLContext | None = None
        self._is_read = False
        super().__init__(
            verify=trusted,
            proxies=dict(proxies),
            timeout=(config.connect_timeout, config.read_timeout),  # type: ignore[arg-type]  # as botocore's own
            max_pool_connections=MOST_TO_A_HOST,
        )

    def _get_ssl_context(self) -> ssl.SSLContext:
        if self._context is None:
            self._context = super()._get_ssl_context()  # type: ignore[misc]  # which the stubs leave out
            try:
                self._context.load_verify_locations(get_cert_path(self._trusted))
            except OSError:  # ssl.SSLError is one
                pass  # each connection tries to, then, and botocore says what is wrong with the file
            else:
                self._is_read = True
        return self._context

    def _setup_ssl_cert(self, conn: Any, url: str, verify: Any) -> None:
        super()._setup_ssl_cert(conn, url, verify)  # type: ignore[misc]
        if self._is_read:
            conn.ca_certs = None  # nothing more to read
