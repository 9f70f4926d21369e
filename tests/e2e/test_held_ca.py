"""A CA with `jitp = true` on the local AWS: the deployed rule is disabled, and the deployed function holds its devices.

The local AWS runs no template, and keeps one that is taken off: the CA is registered again instead.
"""

import json
from collections.abc import Iterator

import pytest

from jitr.decisions import Outcome
from jitr.errors import Reason
from jitrctl.mqtt.client import ConnectRefusal
from tests.support.e2e.waiting import PATIENCE
from tests.support.jitp.fleet import TEMPLATE
from tests.support.local.deployed import Deployed, deployed

WITHOUT, WITH = 'mode = "DEFAULT"', 'mode = "DEFAULT", jitp = true'


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    with (
        pytest.MonkeyPatch.context() as environ,
        deployed(tmp_path_factory.mktemp("held"), lambda text: text.replace(WITHOUT, WITH, 1)) as fleet,
    ):
        for name, file in (("AWS_CONFIG_FILE", "aws-config"), ("AWS_SHARED_CREDENTIALS_FILE", "aws-credentials")):
            environ.setenv(name, str(fleet.workspace.directory / file))
        yield fleet


def is_rule_disabled(fleet: Deployed) -> bool:
    name, rules = fleet.stage.names.rule("factory"), fleet.client("iot").list_topic_rules()["rules"]
    return bool(next(one["ruleDisabled"] for one in rules if one["ruleName"] == name))


def test_a_device_is_held_under_the_template_and_comes_in_when_the_key_is_out(
    fleet: Deployed, capsys: pytest.CaptureFixture[str]
) -> None:
    iot, sqs, ca = fleet.client("iot"), fleet.client("sqs"), fleet.cas["factory"]
    config = {"templateBody": TEMPLATE, "roleArn": "arn:aws:iam::111111111111:role/jitp"}
    iot.update_ca_certificate(certificateId=ca.certificate_id, registrationConfig=config)
    assert is_rule_disabled(fleet)
    files = fleet.issue("sensor-7001")
    device = fleet.local.device(files, "sensor-7001")
    assert isinstance(device.connect(fleet.local.endpoint), ConnectRefusal)
    queue = sqs.get_queue_url(QueueName=fleet.stage.names.registrations_queue)["QueueUrl"]
    event = {"certificateId": files.certificate_id, "caCertificateId": ca.certificate_id}
    sqs.send_message(QueueUrl=queue, MessageBody=json.dumps(event))

    decision = fleet.local.wait_for_decision(files.certificate_id, seconds=PATIENCE)

    assert (decision.outcome, decision.reason) == (Outcome.HELD, Reason.CA_HAS_TEMPLATE)
    assert fleet.local.status(files.certificate_id) == "PENDING_ACTIVATION"
    code, said = fleet.ask(capsys, "fleet", "status")
    assert code == 0, said
    assert any(text.startswith("CA factory is held: a provisioning template") for text in said["notes"]), said

    iot.update_ca_certificate(
        certificateId=ca.certificate_id, newStatus="INACTIVE", newAutoRegistrationStatus="DISABLE"
    )
    iot.delete_ca_certificate(certificateId=ca.certificate_id)
    fleet.local.register_ca("factory", ca)
    file = fleet.workspace.fleet_file
    file.write_text(file.read_text(encoding="utf-8").replace(WITH, WITHOUT, 1), encoding="utf-8")
    fleet.deploy()

    assert not is_rule_disabled(fleet)
    device.connect_until_accepted(fleet.local.endpoint, patience=PATIENCE)[0].close()
