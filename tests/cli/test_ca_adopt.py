"""`jitrctl ca adopt`: a provisioning template becomes a block of fleet.toml, and a sample shows what would change."""

import json
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from jitr_fleet.model import Account
from jitr_fleet.names import OWN_NAME, OWN_NAME_LENGTH
from jitr_fleet.parse import load
from jitrctl.jitp.target import name_for
from jitrctl.session import stage as stages
from simulation import Authority
from simulation.faults import Call, Fault, Moment, ServiceError
from tests.support.cli.jitp_fleet import ARN, POLICY, PREFIX, JitpFleet, jitp_fleet, template
from tests.support.cli.orders import strike
from tests.support.cli.simulated import DEV, IDS, REGION, Access
from tests.support.jitp.corpus import CORPUS


@pytest.fixture
def jitp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> JitpFleet:
    """The fleet file knows another CA alone; the CA under JITP is new to it."""
    fleet = jitp_fleet(tmp_path, monkeypatch)
    fleet.fleet.file.write_text(
        '[fleet]\nname = "acme"\n[ca.other]\ncertificate = "factory-2.pem"\ncommon_name = "x-[0-9]+"\n'
        f'[account.{DEV}]\nid = "{IDS[DEV]}"\nregions = ["{REGION}"]\nca.other = {{ mode = "SNI_ONLY" }}\n'
    )
    return fleet


def take_in(jitp: JitpFleet, folder: Path) -> None:
    """What an engineer does with the files: the block goes to the end of the fleet file, the others beside it."""
    for path in folder.rglob("*.*"):
        if path.suffix != ".toml":
            (jitp.fleet.directory / path.relative_to(folder)).parent.mkdir(exist_ok=True)
            (jitp.fleet.directory / path.relative_to(folder)).write_bytes(path.read_bytes())
    (fragment,) = folder.glob("ca-*.toml")
    jitp.fleet.file.write_text(f"{jitp.fleet.file.read_text()}\n{fragment.read_text()}")


def test_what_is_written_is_a_fleet_file_under_which_jitr_makes_what_jitp_made(jitp: JitpFleet, tmp_path: Path) -> None:
    jitp.connect("pump-1")
    found = jitp.adopt(jitp.ca.certificate_id, "--write", str(tmp_path / "out"))
    assert (found["ca"], found["missing"], found["policy_problems"]) == ("factory-1", [], [])
    (device,) = found["sample"]
    assert (device["things"], device["differences"], device["refused"]) == (["pump-1"], [], None)
    assert device["same"] == [
        "thing",
        "type",
        "attribute name",
        "attribute version",
        "groups",
        "billing group",
        "policy",
    ]
    take_in(jitp, tmp_path / "out")
    fleet = load(jitp.fleet.file)
    (ca,) = (one for one in fleet.cas if one.name == "factory-1")
    assert (ca.thing_name, ca.thing_type, ca.thing_groups, ca.existing) == ("{common_name}", "pump", ("hall-1",), True)
    assert dict(ca.attributes) == {"version": "v1", "name": "{common_name}"}
    assert fleet.accounts[0].cas[1].jitp
    # Under the fleet file, too, there is no difference: its policy file says what the template's policy said.
    again = jitp.adopt("factory-1")
    assert (again["differing"], again["sample"][0]["differences"]) == ([], [])


@pytest.mark.parametrize("name", CORPUS)
def test_each_template_of_the_corpus_gives_a_block_that_the_parser_takes(
    jitp: JitpFleet, tmp_path: Path, name: str
) -> None:
    jitp.iot.create_policy(policyName="pumps", policyDocument=json.dumps(POLICY))
    jitp.iot.create_billing_group(billingGroupName="east")
    jitp.put(templateBody=CORPUS[name])
    found = jitp.adopt(jitp.ca.certificate_id, "--write", str(tmp_path / "out"))
    take_in(jitp, tmp_path / "out")
    fleet = load(jitp.fleet.file)
    assert [ca.name for ca in fleet.cas] == ["other", "factory-1"]
    assert (fleet.cas[1].policy is None) is bool(found["policy_problems"])


def test_standard_output_is_toml_and_all_else_is_beside_it(jitp: JitpFleet) -> None:
    jitp.connect("pump-1")
    lines = jitp.fleet.lines("ca", "adopt", jitp.ca.certificate_id, "--account", DEV)
    written = tomllib.loads("\n".join(lines))
    assert written["ca"]["factory-1"]["thing_type"] == "pump"
    assert written["account"][DEV]["ca"]["factory-1"] == {"mode": "SNI_ONLY", "jitp": True}


def test_a_file_of_the_ca_and_a_name_of_ones_own_are_taken(jitp: JitpFleet) -> None:
    file = jitp.fleet.directory / "factory.pem"
    assert jitp.adopt(str(file), "--name", "pumps")["ca"] == "pumps"
    assert "--name Pumps: a name has lower-case letters" in jitp.fleet.say(
        "ca", "adopt", str(file), "--name", "Pumps", code=2
    )


def test_a_word_that_names_no_ca_is_told_what_would(jitp: JitpFleet, tmp_path: Path) -> None:
    said = jitp.fleet.say("ca", "adopt", "pumps", code=2)
    assert "pumps is no CA of the fleet file (it has other)" in said
    assert "`aws iot list-ca-certificates` lists the ids" in said
    (tmp_path / "note.txt").write_text("no certificate")
    assert "note.txt" in jitp.fleet.say("ca", "adopt", str(tmp_path / "note.txt"), code=2)


def test_a_ca_without_template_or_registration_is_told_so(jitp: JitpFleet) -> None:
    jitp.registered.template = None
    assert "there is no provisioning template on this CA" in jitp.fleet.say(
        "ca", "adopt", jitp.ca.certificate_id, code=1
    )
    assert "is not registered here" in jitp.fleet.say("ca", "adopt", "other", code=1)


def test_no_file_is_overwritten_and_none_is_written_beside_one_that_exists(jitp: JitpFleet, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (out / "policies").mkdir(parents=True)
    (out / "policies" / "factory-1.json").write_text("mine")
    said = jitp.fleet.say("ca", "adopt", jitp.ca.certificate_id, "--write", str(out), code=2)
    assert "policies/factory-1.json is there already, and was not changed" in said
    assert [path.name for path in out.rglob("*.*")] == ["factory-1.json"]
    assert (out / "policies" / "factory-1.json").read_text() == "mine"


@pytest.mark.parametrize("in_the_way", ["out", "out/policies", "out/certs"])
def test_nothing_is_written_where_a_file_has_the_name_of_a_folder(
    jitp: JitpFleet, tmp_path: Path, in_the_way: str
) -> None:
    file, out = tmp_path / in_the_way, tmp_path / "out"
    file.parent.mkdir(exist_ok=True)
    file.write_text("mine")
    said = jitp.fleet.say("ca", "adopt", jitp.ca.certificate_id, "--write", str(out), code=2)
    assert f"{file} is no folder, and was not changed" in said
    assert (file.read_text(), list(out.rglob("*"))) == ("mine", [] if file == out else [file])


@pytest.mark.parametrize(
    "name", [f"{'a' * 26}-{'b' * 10}", f"{'a' * 25}-{'b' * 10}", "a" * 40, "9 CA", "-", "Zähler CA"]
)
def test_the_name_that_a_ca_gets_is_legal_also_when_it_is_taken(name: str) -> None:
    pem, taken = Authority.new(name).pem, frozenset[str]()
    for _ in range(12):
        found = name_for(pem, taken)
        assert OWN_NAME.fullmatch(found)
        assert len(found) <= OWN_NAME_LENGTH
        assert found not in taken
        taken |= {found}


def test_what_differs_is_marked_device_by_device(jitp: JitpFleet) -> None:
    jitp.connect("pump-1")
    jitp.iot.update_thing(thingName="pump-1", attributePayload={"attributes": {"version": "v0", "name": "pump-1"}})
    (device,) = jitp.adopt(jitp.ca.certificate_id)["sample"]
    assert device["differences"] == [{"what": "attribute version", "jitp": "v0", "jitr": "v1"}]
    said = jitp.fleet.say("ca", "adopt", jitp.ca.certificate_id)
    assert "! attribute version v0 v1" in said


def test_a_device_that_jitp_left_pending_and_one_that_jitr_would_refuse_are_shown(jitp: JitpFleet) -> None:
    body = json.loads(template())
    body["Parameters"][f"{PREFIX}Country"] = {"Type": "String"}
    jitp.put(templateBody=json.dumps(body))
    jitp.connect("pump-1")
    jitp.put(templateBody=template())
    jitp.connect("pump 2")
    shown = {one["certificate_id"]: one for one in jitp.adopt(jitp.ca.certificate_id)["sample"]}
    by_thing = sorted((one["status"], one["differences"], one["refused"] or "") for one in shown.values())
    assert by_thing[0] == ("PENDING_ACTIVATION", [], by_thing[0][2])
    assert by_thing[0][2].startswith("COMMON_NAME_REFUSED")
    assert by_thing[1][:2] == ("PENDING_ACTIVATION", [{"what": "thing", "jitp": "-", "jitr": "pump-1"}])


def test_several_policies_become_one_document(jitp: JitpFleet) -> None:
    second = {"Effect": "Allow", "Action": "iot:Receive", "Resource": f"{ARN}:topic/pumps/x"}
    jitp.iot.create_policy(
        policyName="second", policyDocument=json.dumps({"Version": "2012-10-17", "Statement": second})
    )
    body = json.loads(template())
    body["Resources"]["more"] = {"Type": "AWS::IoT::Policy", "Properties": {"PolicyName": "second"}}
    jitp.put(templateBody=json.dumps(body))
    jitp.connect("pump-1")
    found = jitp.adopt(jitp.ca.certificate_id)
    statements = json.loads(found["policy"])["Statement"]
    assert [one["Action"] for one in statements] == ["iot:Connect", ["iot:Publish"], "iot:Receive"]
    assert statements[2]["Resource"] == "arn:<partition>:iot:<region>:<account>:topic/pumps/x"
    assert "policy" in found["sample"][0]["same"]


def test_a_policy_of_another_account_keeps_its_arns_and_is_not_the_blocks(jitp: JitpFleet) -> None:
    statement = {"Effect": "Allow", "Action": "iot:Connect", "Resource": "arn:aws:iot:us-east-1:999999999999:client/x"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    jitp.put(templateBody=template(policy={"PolicyDocument": document}))
    found = jitp.adopt(jitp.ca.certificate_id)
    assert "999999999999:client/x" in found["policy"]
    assert found["policy_problems"]
    assert "policy = " not in found["toml"]


def test_a_policy_that_lets_devices_be_others_is_written_beside_and_named_with_the_cure(
    jitp: JitpFleet, tmp_path: Path
) -> None:
    document = json.dumps(
        {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "iot:*", "Resource": "*"}]}
    )
    jitp.put(templateBody=template(policy={"PolicyDocument": document}))
    jitp.connect("pump-1")
    found = jitp.adopt(jitp.ca.certificate_id, "--write", str(tmp_path / "out"))
    (differing,) = found["sample"][0]["differences"]
    assert (differing["what"], differing["jitr"]) == ("policy", "jitr-acme--factory-1, with other statements")
    assert any("lets a device connect under a client id that is not its own" in one for one in found["policy_problems"])
    assert json.loads((tmp_path / "out" / "policies" / "factory-1.jitp.json").read_text()) == json.loads(document)
    take_in(jitp, tmp_path / "out")
    assert load(jitp.fleet.file).cas[1].policy is None


def test_a_client_id_from_the_field_that_names_the_thing_is_the_things_name(jitp: JitpFleet) -> None:
    before = '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "iot:Connect", "Resource": "'
    document = {"Fn::Join": ["", [f"{before}{ARN}:client/", {"Ref": f"{PREFIX}CommonName"}, '"}]}']]}
    jitp.put(templateBody=template(policy={"PolicyDocument": document}))
    jitp.connect("pump-1")
    found = jitp.adopt(jitp.ca.certificate_id)
    assert "client/${iot:Connection.Thing.ThingName}" in found["policy"]
    assert found["policy_problems"] == []
    assert "policy" in found["sample"][0]["same"]


def test_a_policy_that_was_deleted_and_attributes_that_do_not_fit_are_named_with_their_place(jitp: JitpFleet) -> None:
    thing = {
        "ThingName": {"Ref": f"{PREFIX}CommonName"},
        "AttributePayload": {"a": "1", "b": "2", "c": "3", "jitr_x": "4"},
    }
    jitp.put(templateBody=template(thing, {"PolicyName": "gone"}))
    found = jitp.adopt(jitp.ca.certificate_id)
    at = [one.split(": ")[0] for one in found["missing"]]
    properties = "$.Resources.thing.Properties.AttributePayload"
    assert at == [f"{properties}.c", f"{properties}.jitr_x", "$.Resources.policy.Properties.PolicyName"]


@pytest.mark.parametrize(
    ("thing", "place"),
    [
        ({"ThingName": "always-the-same"}, "ThingName"),
        ({"ThingName": {"Ref": f"{PREFIX}CommonName"}, "ThingTypeName": "a type"}, "ThingTypeName"),
        ({"ThingName": {"Ref": f"{PREFIX}CommonName"}, "ThingGroups": ["a b"]}, "ThingGroups"),
        ({"ThingName": {"Ref": f"{PREFIX}CommonName"}, "AttributePayload": {"jitr_x": "4"}}, "AttributePayload"),
        ({"ThingName": {"Ref": f"{PREFIX}CommonName"}, "BillingGroup": "ä"}, "BillingGroup"),
    ],
)
def test_a_value_that_the_parser_refuses_is_left_out_and_named_with_its_place(
    jitp: JitpFleet, thing: dict[str, Any], place: str
) -> None:
    jitp.put(templateBody=template(thing))
    (missing,) = jitp.adopt(jitp.ca.certificate_id)["missing"]
    assert missing.startswith(f"$.Resources.thing.Properties.{place}")


def test_a_ca_in_mode_default_gets_the_entry_that_the_fleet_file_asks_for(jitp: JitpFleet, tmp_path: Path) -> None:
    jitp.registered.mode = "DEFAULT"
    found = jitp.adopt(jitp.ca.certificate_id, "--write", str(tmp_path / "out"))
    assert 'verification_certificate = "certs/dev-factory-1-verification.pem"' in found["toml"]
    take_in(jitp, tmp_path / "out")
    assert [one.mode for one in load(jitp.fleet.file, proven=False).accounts[0].cas] == ["SNI_ONLY", "DEFAULT"]
    assert any("jitrctl ca csr" in one for one in found["remarks"])


def test_without_a_fleet_file_a_whole_one_is_written(
    jitp: JitpFleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def known(name: str, profile: str | None, region: str) -> Account:
        account = replace(load(jitp.fleet.file).accounts[0], name=name, profile=profile, regions=(region,), cas=())
        monkeypatch.setattr(stages, "open_access", lambda *_: Access(jitp.fleet.place(DEV), "arn:aws:iam::1:user/ann"))
        return account

    monkeypatch.setattr("jitrctl.jitp.target.unknown_account", known)
    jitp.connect("pump-1")
    out = tmp_path / "new"
    words = ["ca", "adopt", jitp.ca.certificate_id, "--profile", "acme-dev", "--region", REGION]
    said = jitp.fleet.say_without_file(*words, "--write", str(out))
    assert "Written: " in said
    fleet = load(out / "fleet.toml")
    assert (fleet.accounts[0].id, fleet.accounts[0].profile, fleet.accounts[0].regions) == (
        IDS[DEV],
        "acme-dev",
        (REGION,),
    )
    assert [ca.thing_type for ca in fleet.cas] == ["pump"]
    printed = jitp.fleet.say_without_file(*words)
    assert "[fleet]" in printed


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--profile", "p"], "--profile needs one --region"),
        (["--profile", "p", "--region", REGION, "--account", DEV], "leave out --fleet and --account"),
        (["--profile", "p", "--region", REGION, "--take-over"], "need the fleet file and its stack"),
        (["--take-over", "--undo"], "are opposites"),
        (["--note", "INC-7"], "--note and --yes are for --take-over and --undo"),
        (["--yes"], "--note and --yes are for --take-over and --undo"),
    ],
)
def test_options_that_contradict_each_other_are_refused(jitp: JitpFleet, words: list[str], said: str) -> None:
    assert said in jitp.fleet.say_without_file("ca", "adopt", jitp.ca.certificate_id, *words, code=2) or (
        said in jitp.fleet.say("ca", "adopt", jitp.ca.certificate_id, *words, code=2)
    )


def test_a_name_for_a_ca_that_has_one_in_the_fleet_file_is_refused(jitp: JitpFleet) -> None:
    said = jitp.fleet.say("ca", "adopt", "other", "--name", "mine", code=2)
    assert "--name is for a CA that the fleet file does not have, and it calls this one other" in said


def test_the_help_says_that_one_account_and_one_region_are_taken(jitp: JitpFleet) -> None:
    said = " ".join(jitp.fleet.say("ca", "adopt", "--help").split())
    assert "one for each run" in said
    assert "may be repeated" not in said
    assert "jitrctl ca adopt factory --account dev --take-over" in said


def test_a_take_over_of_a_ca_that_the_fleet_file_does_not_have_says_what_comes_first(jitp: JitpFleet) -> None:
    said = jitp.fleet.say("ca", "adopt", jitp.ca.certificate_id, "--take-over", code=2)
    assert "the fleet file does not have this CA" in said


def test_an_outage_of_any_read_is_a_sentence_and_changes_nothing(jitp: JitpFleet) -> None:
    jitp.connect("pump-1")
    names: list[str] = []

    def hear(call: Call, _: Moment) -> None:
        if call.caller == "jitrctl":
            names.append(call.name)

    with strike(jitp.fleet, hear):
        jitp.adopt(jitp.ca.certificate_id)
    assert not [one for one in names if not one.split(":")[1].startswith(("Describe", "Get", "List"))]
    for name in dict.fromkeys(names):

        def fail(call: Call, _: Moment, name: str = name) -> Fault | None:
            return Fault.SERVER_ERROR if call.name == name else None

        with strike(jitp.fleet, fail):
            said = jitp.fleet.say("ca", "adopt", jitp.ca.certificate_id, code=1)
        assert "fault of jitrctl" not in said, name


def test_devices_that_aws_does_not_list_under_their_ca_are_found_by_their_signature(jitp: JitpFleet) -> None:
    jitp.connect("pump-1")
    jitp.fleet.aws.undocumented.hide_sni_only_cas()
    (device,) = jitp.adopt(jitp.ca.certificate_id)["sample"]
    assert (device["things"], device["differences"]) == (["pump-1"], [])
    assert "AWS IoT lists no certificate under this CA" in jitp.fleet.say("ca", "adopt", jitp.ca.certificate_id)


def test_a_type_that_the_stack_makes_for_another_ca_is_not_called_existing(jitp: JitpFleet, tmp_path: Path) -> None:
    file = jitp.fleet.file
    file.write_text(file.read_text().replace('"x-[0-9]+"\n', '"x-[0-9]+"\nthing_type = "pump"\n'))
    jitp.adopt(jitp.ca.certificate_id, "--write", str(tmp_path / "out"))
    take_in(jitp, tmp_path / "out")
    assert [ca.existing for ca in load(file).cas] == [False, False]


@pytest.mark.parametrize("before", ["iot:DescribeCertificate", "iot:ListPrincipalThings", "iot:DescribeThing"])
def test_what_is_deleted_while_it_is_compared_is_left_out(jitp: JitpFleet, before: str) -> None:
    jitp.connect("pump-1")
    leaf = jitp.connect("pump-2")
    arn = jitp.fleet.place(DEV).iot.certificates.arn(leaf.certificate_id)

    def delete(call: Call, moment: Moment) -> None:
        asked = {*call.parameters.values()} & {leaf.certificate_id, arn, "pump-2"}
        if call.caller == "jitrctl" and call.name == before and asked and moment == "before":
            jitp.iot.detach_thing_principal(thingName="pump-2", principal=arn)
            jitp.iot.detach_policy(policyName="pump-policy", target=arn)
            jitp.fleet.aws.clock.advance(10)
            jitp.iot.delete_thing(thingName="pump-2")
            jitp.iot.update_certificate(certificateId=leaf.certificate_id, newStatus="INACTIVE")
            jitp.iot.delete_certificate(certificateId=leaf.certificate_id)

    with strike(jitp.fleet, delete):
        (device,) = jitp.adopt(jitp.ca.certificate_id)["sample"]
    assert device["things"] == ["pump-1"]


def test_a_ca_that_no_fleet_file_takes_is_told_why(jitp: JitpFleet) -> None:
    jitp.fleet.aws.clock.advance(1)
    leaf = jitp.fleet.issue("not-a-ca")
    jitp.registered.pem = leaf.pem
    said = jitp.fleet.say("ca", "adopt", jitp.ca.certificate_id, code=1)
    assert "this CA cannot be in a fleet file: " in said


@pytest.mark.parametrize("name", ["", "..", "../../x y\n", "x" * 300, "pump policy", "a/b"])
def test_a_policys_name_that_aws_refuses_is_named_with_its_place(jitp: JitpFleet, name: str) -> None:
    jitp.put(templateBody=template(policy={"PolicyName": name}), roleArn="arn:aws:iam::111111111111:role/JITPRole")

    def refuse(call: Call, _: Moment) -> None:
        if call.name == "iot:GetPolicy":
            raise ServiceError("InvalidRequestException", "the name is not valid", status=400)

    with strike(jitp.fleet, refuse):
        found = jitp.adopt(jitp.ca.certificate_id)
    assert found["missing"][0].startswith("$.Resources.policy.Properties.PolicyName: there is no policy ")
