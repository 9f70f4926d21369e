"""Shares one TLS context between clients, so that the trusted certificates are read once for the process.

botocore reads the file of trusted certificates for each connection: 70 ms of CPU time, which for fifty accounts with
four clients each is most of a command's time (bench/accounts.py). So clients that trust the same file share one
context. Everything else stays the client's own: connections, timeouts, proxies, socket options.

botocore has no parameter for a context, so its HTTP session is patched. This is an optimization only: a client for
which it might be wrong, or of an unknown botocore, is left as it is.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from botocore import httpsession

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

_trusting: dict[str, ssl.SSLContext] = {}  # by the path of the trusted certificates
_reading = threading.Lock()


def with_trust_read_once(client: Any) -> Any:
    """The client; its connections use a shared context with the trusted certificates."""
    try:
        session = client._endpoint.http_session  # noqa: SLF001 -- as all below; botocore 1.43, httpsession.py
        if not _is_plain(session):
            return client
        trusted = str(httpsession.get_cert_path(session._verify))  # noqa: SLF001
        new_context, set_up = session._get_ssl_context, session._setup_ssl_cert  # noqa: SLF001
        pools = session._manager.connection_pool_kw  # noqa: SLF001
        pools["ssl_context"]
    except (AttributeError, KeyError):
        return client  # an unknown botocore; nothing was changed yet
    context = _context(trusted, new_context)
    if context is None:
        return client

    def set_up_without_reading(pool: Any, *arguments: Any) -> None:
        set_up(pool, *arguments)
        pool.ca_certs = None

    pools["ssl_context"] = context
    session._get_ssl_context = lambda: context  # noqa: SLF001 -- for the pools behind a proxy, which are made later
    session._setup_ssl_cert = set_up_without_reading  # noqa: SLF001 -- what botocore calls before each request
    return client


def _is_plain(session: Any) -> bool:
    """Whether an HTTP session of botocore verifies certificates, with the trusted ones only.

    Raises AttributeError for an unknown botocore.
    """
    proxies = session._proxy_config  # noqa: SLF001
    return (
        bool(session._verify)  # noqa: SLF001 -- else its context verifies nothing
        and not (session._cert_file or session._key_file)  # noqa: SLF001 -- a client's own, read into its context
        and not proxies.settings  # may name certificates of the proxy's own, which are read into the context, too
        and not any(url.lower().startswith("https:") for url in proxies._proxies.values())  # noqa: SLF001 -- reads ca_certs
        and type(session) is httpsession.URLLib3Session
    )


def _context(trusted: str, new_context: Callable[[], ssl.SSLContext]) -> ssl.SSLContext | None:
    """The TLS context for that file; None when it cannot be read: botocore then reports why."""
    with _reading:
        if trusted not in _trusting:
            context = new_context()
            try:
                context.load_verify_locations(trusted)
            except OSError:  # ssl.SSLError is one
                return None
            _trusting[trusted] = context
        return _trusting[trusted]
