"""Measures the decision alone: `examine` on a P-256 certificate under an RSA-2048 CA, and each check's share of it.

    python -m bench.admit

Pure code, warm, processor time; each certificate is new, its CA is cached.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable

from bench.table import markdown
from jitr.admission import checks
from jitr.admission.check_list import CHECKS  # the checks that the functions run
from jitr.x509.certificate import Certificate
from tests.support.cases.families import forge
from tests.support.cases.issuing import applying, ec_key, issue_ca, named, rsa_key

_READ = "reading the certificate"
_READ_AGAIN = "reading one that the library refuses"  # a certificate of node-forge; not a part of the whole
_WHOLE = "admit"


def main() -> int:
    """Measure, and print a table, or JSON."""
    parser = argparse.ArgumentParser(prog="python -m bench.admit", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--certificates", type=int, default=300)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    seconds = measure(options.certificates)
    sys.stdout.write(json.dumps(seconds, indent=2) + "\n" if options.json else table(seconds))
    return 0


def measure(certificates: int) -> dict[str, float]:
    """Median seconds of the whole, of reading, and of each check."""
    authority = issue_ca(key=rsa_key(owner="ca"))
    pems = [authority.leaf(named(f"sensor-{number:06}"), key=ec_key()) for number in range(certificates)]
    odd = forge().pem
    Certificate.from_pem(odd)  # the second reader's modules are imported once
    spans: dict[str, list[float]] = {}
    for pem in pems:
        asked = applying(pem, authority=authority)
        checks.read_certificate(authority.pem)
        spans.setdefault(_WHOLE, []).append(_seconds(asked.admit))
        spans.setdefault(_READ, []).append(_seconds(lambda pem=pem: Certificate.from_pem(pem)))  # type: ignore[misc]
        spans.setdefault(_READ_AGAIN, []).append(_seconds(lambda: Certificate.from_pem(odd)))
        application = checks.CheckInput(
            device=asked.device,
            certificate=Certificate.from_pem(pem),
            ca=asked.ca,
            rules=asked.ca_rules,
            now=asked.now,
            revocations=asked.revocations,
            enrollment=asked.enrollment,
        )
        for check in CHECKS:
            spans.setdefault(check.name, []).append(
                _seconds(lambda check=check, application=application: check.run(application))  # type: ignore[misc]
            )
    medians = {name: statistics.median(found) for name, found in spans.items()}
    return medians | {_READ_AGAIN: medians.pop(_READ_AGAIN)}


def table(seconds: dict[str, float]) -> str:
    """Microseconds, and the share of the whole."""
    return markdown(
        ("", "median, µs", "share"),
        [[name, span * 1e6, f"{span / seconds[_WHOLE]:.0%}"] for name, span in seconds.items()],
    )


def _seconds(action: Callable[[], object]) -> float:
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


if __name__ == "__main__":
    sys.exit(main())
