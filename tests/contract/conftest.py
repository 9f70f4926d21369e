"""Every test here runs twice: on the simulation, and on the local AWS, which is started once."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from jitrctl.localaws.accounts import AccountSpec, down, up
from tests.support.contract.places import LOCAL_AWS, MODEL, LocalAws, Model, Place, new_name
from tests.support.contract.registered import Ca
from tests.support.contract.tables import Table
from tests.support.local.authority import Authority

MAKERS = {MODEL: "model", LOCAL_AWS: "local_aws"}


@pytest.fixture(scope="session")
def model() -> Model:
    return Model()


@pytest.fixture(scope="session")
def local_aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAws]:
    directory = tmp_path_factory.mktemp("local-aws")
    account = AccountSpec(name="dev", id=Model.account_id, region=Model.region, profile="acme-dev")
    try:
        yield LocalAws(up(directory, [account])[0])
    finally:
        down(directory)


@pytest.fixture(params=[MODEL, LOCAL_AWS])
def place(request: pytest.FixtureRequest) -> Place:
    found: Place = request.getfixturevalue(MAKERS[request.param])
    return found


@pytest.fixture
def make_authority(tmp_path: Path) -> Callable[[], Authority]:
    """Make CAs that no account has registered."""
    return lambda: Authority.new(new_name("Maker"), tmp_path)


@pytest.fixture
def ca(place: Place, make_authority: Callable[[], Authority]) -> Ca:
    """A CA registered in SNI_ONLY mode, active and auto-registering, whose events go to a queue."""
    authority = make_authority()
    certificate_id = place.iot.register_ca_certificate(
        caCertificate=authority.pem, certificateMode="SNI_ONLY", setAsActive=True, allowAutoRegistration=True
    )["certificateId"]
    return Ca(place=place, authority=authority, certificate_id=certificate_id, queue_url=place.deliver(certificate_id))


@pytest.fixture
def table(place: Place) -> Table:
    return Table(place)
