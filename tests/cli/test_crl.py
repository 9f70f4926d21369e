"""Publishing CRLs in several accounts: what is checked first, what is refused everywhere, and what is shown."""

import json
import subprocess
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from jitr.aws.crl_bucket import object_key
from jitrctl.__main__ import main
from jitrctl.session.stage import Stage
from tests.support.cases.issuing import Authority, certificate_id, issue_ca
from tests.support.cases.revoking import entry, issue_crl, reason

NOW = datetime.now(UTC).replace(microsecond=0)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
# The fleet's rules do not ask for CRLs.
OFF = {"progress": "off", "ended": 0, "lifted": 0, "devices": None, "why": None, "at": None}
DEV, PROD, FAR = "dev/eu-central-1", "prod/eu-central-1", "prod/us-east-1"


class Fleet:
    """The accounts with their buckets, and a place for CRL files."""

    def __init__(self, stages: tuple[Stage, ...], ca: Authority, folder: Path) -> None:
        self.ca = ca
        self.folder = folder
        self.stages = {str(stage): stage for stage in stages}
        for stage in stages:
            region = {} if stage.region == "us-east-1" else {"LocationConstraint": stage.region}
            stage.s3.create_bucket(Bucket=stage.crl_bucket, **({"CreateBucketConfiguration": region} if region else {}))

    def file(self, *entries: bytes, number: int | None = 1, authority: Authority | None = None, **dates: Any) -> str:
        """A CRL in a file, issued an hour ago; the file's path."""
        dates = {"this_update": NOW - HOUR, "next_update": NOW + 7 * DAY} | dates
        path = self.folder / "some.crl"
        path.write_bytes(issue_crl(authority or self.ca, entries, number=number, **dates))
        return str(path)

    def published(self, place: str) -> bytes | None:
        stage = self.stages[place]
        try:
            answer = stage.s3.get_object(Bucket=stage.crl_bucket, Key=object_key(self.ca.certificate_id))
        except stage.s3.exceptions.NoSuchKey:
            return None
        return bytes(answer["Body"].read())


@pytest.fixture
def fleet(aws: None, stages: tuple[Stage, ...], ca: Authority, tmp_path: Path) -> Fleet:  # noqa: ARG001 -- needed first
    return Fleet(stages, ca, tmp_path)


Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(fleet_file: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command: its exit code, and all that it said."""

    def run(*arguments: str) -> tuple[int, str]:
        code = main(["crl", *arguments, "--fleet", str(fleet_file)])
        said = capsys.readouterr()
        return code, " ".join((said.out + said.err).split())

    return run


@pytest.fixture
def told(fleet_file: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """Run a command that succeeds: its JSON document."""

    def told(*arguments: str) -> Any:
        assert main(["crl", *arguments, "--json", "--fleet", str(fleet_file)]) == 0
        return json.loads(capsys.readouterr().out)

    return told


def test_a_crl_is_put_into_every_account_and_region_and_put_again_changes_nothing(
    fleet: Fleet, told: Callable[..., Any]
) -> None:
    file = fleet.file(entry(7), entry(8, reason(1)), number=4)

    first = told("put", file, "--yes")
    again = told("put", file)

    assert {place: fleet.published(place) for place in (DEV, PROD, FAR)} == dict.fromkeys(
        (DEV, PROD, FAR), Path(file).read_bytes()
    )
    assert (first["ca"], first["crl"]["number"], first["crl"]["entries"]) == ("factory", 4, 2)
    assert [one["changed"] for one in first["stages"]] == [True] * 3
    assert [one["changed"] for one in again["stages"]] == [False] * 3


def test_the_plan_is_shown_and_nothing_is_done_where_nobody_can_be_asked(fleet: Fleet, run: Run) -> None:
    code, said = run("put", fleet.file(entry(7), number=4))

    assert code == 2
    assert "CRL of CA factory, number 4, 1 entry, in force until" in said
    assert f"{DEV} nothing" in said
    assert "say --yes" in said
    assert fleet.published(DEV) is None


@pytest.mark.parametrize(
    ("older", "why"),
    [
        ({"number": 3}, "number 3 is older: number 4 is published"),
        ({"number": 4, "this_update": NOW}, "number 4 has the same number, and says something else"),
        ({"number": 5, "this_update": NOW - 2 * HOUR}, "it was issued"),
        ({"number": None, "this_update": NOW - 2 * HOUR}, "it was issued"),
    ],
)
def test_what_is_older_in_one_place_is_published_nowhere(
    fleet: Fleet, run: Run, older: dict[str, Any], why: str
) -> None:
    assert run("put", fleet.file(number=4), "--yes", "--account", "prod", "--region", "us-east-1")[0] == 0
    before = fleet.published(FAR)

    code, said = run("put", fleet.file(entry(7), **older), "--yes")

    assert code == 1
    assert f"in {FAR} {why}" in said
    assert "nothing was changed anywhere" in said
    assert (fleet.published(DEV), fleet.published(FAR)) == (None, before)


def test_the_next_crl_follows_and_so_does_one_in_place_of_what_cannot_be_used(fleet: Fleet, run: Run) -> None:
    stage = fleet.stages[DEV]
    stage.s3.put_object(Bucket=stage.crl_bucket, Key=object_key(fleet.ca.certificate_id), Body=b"<html>")
    assert run("put", fleet.file(number=4), "--yes")[0] == 0
    fresh = {str(stage): stage for stage in map(again, fleet.stages.values())}
    assert set(fresh) == {DEV, PROD, FAR}

    assert run("put", fleet.file(entry(7), number=5, this_update=NOW), "--yes")[0] == 0

    assert fleet.published(DEV) == fleet.published(FAR) == (fleet.folder / "some.crl").read_bytes()


def again(stage: Stage) -> Stage:
    return Stage(fleet=stage.fleet, account=stage.account, region=stage.region)


@pytest.mark.parametrize(
    ("dates", "why"),
    [
        ({"next_update": NOW - HOUR / 2}, "is stale since"),
        ({"this_update": NOW + HOUR}, "is not in force before"),
        ({"next_update": None}, "as the CRL of CA factory: it has no nextUpdate"),
    ],
)
def test_a_crl_that_would_hold_devices_is_not_published(
    fleet: Fleet, run: Run, dates: dict[str, Any], why: str
) -> None:
    code, said = run("put", fleet.file(**dates), "--yes")
    assert code == 2
    assert why in said
    assert fleet.published(DEV) is None


def test_a_file_that_is_no_crl_of_the_fleets_cas_is_unusable(fleet: Fleet, run: Run, tmp_path: Path) -> None:
    other = issue_ca("Other CA")
    assert "its issuer is 'CN=Other CA,O=Acme'" in run("put", fleet.file(authority=other), "--yes")[1]
    (tmp_path / "text").write_text("not a CRL")
    code, said = run("put", str(tmp_path / "text"), "--yes")
    assert (code, "neither DER nor a PEM text" in said) == (2, True)
    code, said = run("put", str(tmp_path / "none"), "--yes")
    assert (code, "cannot be read" in said) == (2, True)
    code, said = run("put", fleet.file(), "--ca", "fabrik")
    assert (code, "no CA fabrik: it has factory" in said) == (2, True)


def test_somebody_who_publishes_at_the_same_time_is_not_overwritten(
    fleet: Fleet, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = issue_crl(fleet.ca, number=9, this_update=NOW - HOUR, next_update=NOW + DAY)

    def meanwhile(*_: object, **__: object) -> None:
        for stage in fleet.stages.values():
            stage.s3.put_object(Bucket=stage.crl_bucket, Key=object_key(fleet.ca.certificate_id), Body=theirs)

    monkeypatch.setattr("jitrctl.run.scope.Scope.confirm", meanwhile)

    code, said = run("put", fleet.file(number=4), "--yes")

    assert code == 1
    assert "another CRL was published at the same time" in said
    assert fleet.published(DEV) == theirs


def test_an_account_without_a_bucket_is_told_to_deploy_and_the_others_are_done(
    fleet: Fleet, run: Run, told: Callable[..., Any]
) -> None:
    stage = fleet.stages[PROD]
    stage.s3.delete_bucket(Bucket=stage.crl_bucket)

    code, said = run("put", fleet.file(), "--yes")

    assert code == 1
    assert f"{PROD}: there is no bucket {stage.crl_bucket}: deploy the stack first" in said
    assert fleet.published(DEV)
    assert told("show", "--account", "dev")["ok"]


def test_what_is_published_is_shown_for_each_ca_and_place(fleet: Fleet, run: Run, told: Callable[..., Any]) -> None:
    def publish(place: str, body: bytes) -> None:
        stage = fleet.stages[place]
        stage.s3.put_object(Bucket=stage.crl_bucket, Key=object_key(fleet.ca.certificate_id), Body=body)

    publish(DEV, issue_crl(fleet.ca, [entry(7)], number=4, this_update=NOW - DAY, next_update=NOW - HOUR))
    publish(PROD, b"<html>")

    shown = {f"{one['account']}/{one['region']}": one["cas"]["factory"] for one in told("show")["stages"]}

    assert shown[DEV] == {
        "state": "stale",
        "number": 4,
        "this_update": (NOW - DAY).isoformat(),
        "next_update": (NOW - HOUR).isoformat(),
        "entries": 1,
        "applied": OFF,
    }
    assert (shown[PROD]["state"], shown[FAR]) == ("unusable", {"state": "missing", "applied": OFF})
    said = run("show")[1]
    assert "number 4, 1 entry, stale since" in said
    assert "cannot be used: it is neither DER nor a PEM text" in said


def openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


def commands(page: str, *, after: str) -> Sequence[str]:
    """The commands of the first console block below a heading of a page."""
    block = page.partition(after)[2].partition("```sh\n")[2].partition("\n```")[0]
    return [line for line in block.replace("\\\n", " ").splitlines() if line and not line.startswith("#")]


def test_the_pages_openssl_commands_make_crls_that_are_published_and_revoke(
    fleet: Fleet, told: Callable[..., Any], tmp_path: Path
) -> None:
    """docs/crl.md, run as it stands, by a CA whose key and certificate are those of the fleet file."""
    page = (Path(__file__).parents[2] / "docs" / "crl.md").read_text(encoding="utf-8")
    folder = tmp_path / "ca"
    folder.mkdir()
    key = fleet.ca.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "ca.key").write_bytes(key)
    (folder / "ca.pem").write_text(fleet.ca.pem)
    config = page.partition("```ini\n")[2].partition("```")[0]
    (folder / "crl.cnf").write_text(config)
    device = fleet.ca.leaf(begins=NOW - DAY, ends=NOW + 365 * DAY)
    (folder / "device.pem").write_text(device)

    ran = []
    for heading in ("### Once", "### Revoke", "### Publish"):
        for command in commands(page, after=heading):
            if not command.startswith("jitrctl"):
                subprocess.run(["sh", "-ec", command], cwd=folder, check=True, capture_output=True)
            ran.append(command)
    document = told("put", str(folder / "ca.crl"), "--yes")

    assert ran[-1] == "jitrctl crl put ca.crl"
    assert (document["crl"]["number"], document["crl"]["entries"]) == (1, 1)
    serial = x509.load_pem_x509_certificate(device.encode()).serial_number
    published = fleet.stages[DEV].crls.of(fleet.stages[DEV].rules.cas[0]).revocations
    assert certificate_id(device)
    assert published is not None
    assert "keyCompromise" in str(published.reason_of(serial))  # type: ignore[union-attr]
