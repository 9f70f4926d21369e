"""Measures `jitrctl fleet survey` of a large fleet with a past: calls, virtual time, memory, the file; Linux.

    python -m bench.survey                                 100,000 certificates, and a tenth of them beside it
    python -m bench.survey --certificates 10000

The real command on the simulated AWS, with AWS's default quotas and 100 ms for a call of AWS IoT. Each size is measured
in a process of its own; its memory is what the command takes at its peak above what the simulated fleet takes before.
"""

import argparse
import base64
import hashlib
import json
import re
import subprocess
import sys
import tempfile
import time
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from bench.crl import peak_megabytes
from bench.table import markdown
from jitrctl.__main__ import main as jitrctl
from simulation import Authority, Leaf
from tests.support.cli.old_fleet import OldFleet, old_fleet
from tests.support.cli.simulated import DAY, DEV, NOW

_NUMBER = 8  # digits in a name
_SECONDS = {"iot": 0.1}  # of a call; of others:
_SECONDS_OF_OTHERS = 0.01
_OWN_POLICY, _IN_GROUP = 50, 20  # one of so many certificates has a policy of its own, and things are in the group
LISTS = {
    "ListCACertificates",
    "DescribeCACertificate",
    "ListTopicRules",
    "GetTopicRule",
    "ListProvisioningTemplates",
    "DescribeProvisioningTemplate",
    "ListCertificates",
    "ListCertificatesByCA",
    "ListThings",
    "ListPolicies",
}


def main() -> int:
    """Measure, and print two tables; with --here, measure in this process, for `measure_apart`."""
    parser = argparse.ArgumentParser(prog="python -m bench.survey", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--certificates", type=int, default=100_000)
    parser.add_argument("--here", action="store_true", help="measure in this process")
    options = parser.parse_args()
    if options.here:
        sys.stdout.write(json.dumps(measure(options.certificates)))
        return 0
    found = [measure_apart(number) for number in (options.certificates // 10, options.certificates)]
    heading = (
        *("certificates", "calls of AWS IoT", "to list, s", "in all", "throttled"),
        *("memory, MB", "file, MB", "processor, s"),
    )
    sys.stdout.write(markdown(heading, [_row(one) for one in found]) + "\n")
    rows = [
        [name, *(f"{one['calls'].get(name, 0):,}" for one in found), found[-1]["told"].get(name, "")]
        for name in found[-1]["calls"]
    ]
    columns = ("call", *(f"{one['certificates']:,} certificates" for one in found), "announced after the lists")
    sys.stdout.write(markdown(columns, rows) + "\n")
    return 0


def _row(one: dict[str, Any]) -> list[str | float | None]:
    return [
        f"{one['certificates']:,}",
        f"{sum(number for name, number in one['calls'].items() if name != 'BatchGetItem'):,}",
        round(one["seconds_of_lists"]),
        f"{one['seconds'] / 3600:.2f} h",
        one["throttled"],
        round(one["megabytes"], 1),
        round(one["megabytes_of_the_file"], 1),
        round(one["processor_seconds"]),
    ]


def measure_apart(certificates: int) -> dict[str, Any]:
    """Survey so many certificates, in another process; what `measure` found."""
    command = [sys.executable, "-m", "bench.survey", "--certificates", str(certificates), "--here"]
    found: dict[str, Any] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return found


def measure(certificates: int) -> dict[str, Any]:
    """Survey so many certificates in this process: calls by operation, virtual and processor seconds, megabytes."""
    with tempfile.TemporaryDirectory() as directory, pytest.MonkeyPatch.context() as patch:
        old, file = old_fleet(Path(directory), patch), Path(directory) / "dev.survey"
        patch.setattr(old.fleet.aws, "_keep_calls", False)
        fill(old, certificates)
        place, clock = old.fleet.place(DEV), old.fleet.aws.clock
        place.limit()
        place.counts.clear()
        lists_end = [0.0]

        def latency(call: Any) -> float:
            if call.operation in LISTS:
                lists_end[0] = clock.monotonic()
            return _SECONDS.get(call.service, _SECONDS_OF_OTHERS)

        old.fleet.aws.latency = latency
        said, beside = StringIO(), StringIO()
        words = ["fleet", "survey", str(file), "--account", DEV, "--json", "--fleet", str(old.fleet.file)]
        before, began, at = _begin_peak(), time.process_time(), clock.monotonic()
        with redirect_stdout(said), redirect_stderr(beside):
            ended = jitrctl(words)
        seconds, processor = clock.monotonic() - at, time.process_time() - began
        megabytes = peak_megabytes() - before
        if ended != 0:
            raise RuntimeError(said.getvalue()[:2000] + beside.getvalue()[:2000])
        (found,) = json.loads(said.getvalue())["stages"]
        return {
            "certificates": sum(one["number"] for one in found["certificates"]),
            "things": found["things"],
            "calls": found["calls"],
            "told": _read_announced(beside.getvalue()),
            "attempts": {name: number for name, number in place.counts.items() if ":" in name},
            "throttled": sum(place.throttled.values()),
            "seconds_of_lists": lists_end[0] - at,
            "seconds": seconds,
            "processor_seconds": processor,
            "megabytes": megabytes,
            "megabytes_of_the_file": file.stat().st_size / 1e6,
        }


def fill(old: OldFleet, certificates: int) -> None:
    """A fleet with a past: seven of ten under two CAs, with and without a template, and one each of three others."""
    fleet, iot = old.fleet, old.fleet.place(DEV).iot
    fleet.iot(DEV).register_ca_certificate(
        caCertificate=fleet.new.pem, certificateMode="SNI_ONLY", setAsActive=True, allowAutoRegistration=True
    )
    old.iot.create_thing_group(thingGroupName="site")
    old.iot.attach_policy(policyName="old", target=iot.things.group_arn("site"))
    makers = [*[old.jitp] * 4, *[fleet.new] * 3, Authority.new("Maker"), old.aws, old.aws]
    bodies = {maker.certificate_id: _split(maker) for maker in makers}
    for number in range(certificates):
        maker = makers[number % len(makers)]
        ca = maker.certificate_id if maker in (old.jitp, fleet.new) else None
        leaf = _leaf(*bodies[maker.certificate_id], number)
        mode = "DEFAULT" if maker is old.aws else "SNI_ONLY"
        one = iot.certificates.register(leaf, status="ACTIVE", mode=mode, ca_certificate_id=ca)
        name = f"sensor-{number:0{_NUMBER}}"
        iot.things.create_thing({"thingName": name})
        iot.things.attach_thing_principal({"thingName": name, "principal": one.arn})
        policy = "provisioned" if number % len(makers) == len(makers) - 1 else "old"
        if number % _OWN_POLICY == 0:
            policy = f"only-{number}"
            iot.policies.create_policy({"policyName": policy, "policyDocument": '{"Statement": []}'})
        iot.policies.attach_policy({"policyName": policy, "target": one.arn})
        if number % _IN_GROUP == 0:
            iot.things.add_thing_to_thing_group({"thingName": name, "thingGroupName": "site"})


def _split(maker: Authority) -> tuple[Leaf, bytes, bytes]:
    """A maker's certificate, and what is before and after the number in its name."""
    leaf = maker.issue(f"sensor-{'0' * _NUMBER}", not_before=NOW - DAY, not_after=NOW + 365 * DAY)
    body = base64.b64decode("".join(leaf.pem.splitlines()[1:-1]))
    before, _, after = body.partition(b"0" * _NUMBER)
    return leaf, before, after


def _leaf(leaf: Leaf, before: bytes, after: bytes, number: int) -> Leaf:
    """One of many: they differ in their names, and have one signature, which nobody verifies without a CA."""
    body = before + b"%0*d" % (_NUMBER, number) + after
    pem = f"-----BEGIN CERTIFICATE-----\n{base64.encodebytes(body).decode('ascii')}-----END CERTIFICATE-----\n"
    return replace(leaf, certificate_id=hashlib.sha256(body).hexdigest(), pem=pem)


def _read_announced(said: str) -> dict[str, str]:
    """How often each call is to be made, as the command says it after its lists."""
    sentence = said.partition("calls to make: ")[2].partition("; about")[0]
    found = re.findall(r"([\d,]+) ([A-Z]\w+)( at most| \(one more[^)]*\))?", sentence)
    told = {name: f"{number}{more.replace(' (one more', ', and one more').rstrip(')')}" for number, name, more in found}
    if "one ListThingsInThingGroup" in sentence:
        told["ListThingsInThingGroup"] = "one for each 250 things of a group that has a policy"
    return told


def _begin_peak() -> float:
    """Begin the process's peak of memory anew; the memory that it has now, in MB."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return peak_megabytes()


if __name__ == "__main__":
    sys.exit(main())
