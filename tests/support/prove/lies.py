"""A wrong answer for each thing that a probe looks at: how AWS, or a device's connection, would have to behave."""

import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from jitrctl.prove.certificates import ProbeIdentity
from jitrctl.prove.run import DEFAULT, SNI_ONLY
from simulation.iot import cas, certificates
from tests.support.prove.functions_double import refused
from tests.support.prove.proving_world import IDS, REGION, World

Tell = Callable[[World, pytest.MonkeyPatch], None]
ACCOUNT_OF = {DEFAULT: IDS["dev"], SNI_ONLY: IDS["prod"]}
ODD_SHAPES = (
    "X.509 v1",
    "empty subject",
    "& in PrintableString",
    "negative serial number",
    "serial number 0",
    "BOOLEAN 01",
    "NULL behind ecdsa-with-SHA256",
)


def other_ca_ids(mode: str) -> Tell:
    """AWS numbers CAs otherwise."""

    def tell(_: World, monkeypatch: pytest.MonkeyPatch) -> None:
        register = cas.Cas.register_ca_certificate

        def other(self: cas.Cas, params: dict[str, Any]) -> dict[str, Any]:
            answer = register(self, params)
            if params.get("certificateMode") != mode:
                return answer
            ca = self.by_id.pop(answer["certificateId"])
            self._place.default_cas.pop(ca.certificate_id, None)
            ca.certificate_id = ca.certificate_id[::-1]
            self.by_id[ca.certificate_id] = ca
            if mode == DEFAULT:
                self._place.default_cas[ca.certificate_id] = self._place.account_id
            return {**answer, "certificateId": ca.certificate_id}

        monkeypatch.setattr(cas.Cas, "register_ca_certificate", other)

    return tell


def other_device_ids(_: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """AWS numbers devices otherwise."""
    register = certificates.Certificates.register

    def other(self: certificates.Certificates, leaf: Any, **rest: Any) -> Any:
        return register(self, replace(leaf, certificate_id=leaf.certificate_id[::-1]), **rest)

    monkeypatch.setattr(certificates.Certificates, "register", other)


def changed(method: str, change: Callable[[Any], Any], account: str | None = None) -> Tell:
    """The answer of a call is changed."""

    def lie(call: Callable[..., Any], where: str, parameters: dict[str, Any]) -> Any:
        answer = call(**parameters)
        return change(answer) if account in (None, where) else answer

    return lambda world, _: world.lies.__setitem__(method, lie)


def instead(method: str, answer: Callable[[Mapping[str, Any], str, int], Any]) -> Tell:
    """A call is answered without being carried out, unless `answer` says None; it is given the call's number."""

    def tell(world: World, _: pytest.MonkeyPatch) -> None:
        seen: Counter[str] = Counter()

        def lie(call: Callable[..., Any], where: str, parameters: dict[str, Any]) -> Any:
            seen[method] += 1
            found = answer(parameters, where, seen[method])
            if isinstance(found, Exception):
                raise found
            return call(**parameters) if found is None else found

        world.lies[method] = lie

    return tell


def turned_away(when: Callable[[str, ProbeIdentity, bool, bool, int], bool]) -> Tell:
    """Devices are turned away: by account, identity, SNI, alone, and which attempt of the device it is."""

    def tell(world: World, _: pytest.MonkeyPatch) -> None:
        attempts: Counter[str] = Counter()

        def admits(account: str, identity: ProbeIdentity, sni: bool, alone: bool) -> bool:  # noqa: FBT001 -- World's
            attempts[identity.name] += 1
            return not when(account, identity, sni, alone, attempts[identity.name])

        world.admits = admits

    return tell


def event(mode: str, change: Callable[[dict[str, Any]], dict[str, Any] | None], *, first: bool) -> Tell:
    """The event of a mode, the first or a repeated one, is another or does not come."""

    def tamper(text: str) -> str:
        found = json.loads(text)
        is_first = found["certificateRegistrationTimestamp"] is None
        if found["awsAccountId"] != ACCOUNT_OF[mode] or is_first is not first:
            return text
        said = change(found)
        return "" if said is None else json.dumps(said)

    return lambda world, _: setattr(world, "tamper_with_event", tamper)


def modified_by(method: str) -> Tell:
    """A call that registers or attaches something changes the certificate's lastModifiedDate five seconds later."""

    def tell(world: World, _: pytest.MonkeyPatch) -> None:
        def lie(call: Callable[..., Any], account: str, parameters: dict[str, Any]) -> Any:
            answer = call(**parameters)
            arn = parameters.get("target") or parameters.get("principal") or answer["certificateArn"]
            certificate = world.aws.account(account, REGION).iot.certificates.by_id[arn.rpartition("/")[2]]
            certificate.updated_at = certificate.created_at + timedelta(seconds=5)
            return answer

        world.lies[method] = lie

    return tell


def undocumented(**switches: Any) -> Tell:
    def tell(world: World, _: pytest.MonkeyPatch) -> None:
        for name, value in switches.items():
            setattr(world.aws.undocumented, name, value)

    return tell


def odd(number: int) -> Tell:
    """The so-manieth odd device is turned away."""
    seen: list[str] = []

    def when(_: str, identity: ProbeIdentity, *__: object) -> bool:
        if "-odd-" in identity.name and identity.name not in seen:
            seen.append(identity.name)
        return identity.name in seen and seen.index(identity.name) == number

    return turned_away(when)


def named(part: str) -> Tell:
    return turned_away(lambda _, identity, *__: f"-{part}-" in identity.name)


def late_deletion(world: World, _: pytest.MonkeyPatch) -> None:
    def lie(call: Callable[..., Any], __: str, parameters: dict[str, Any]) -> None:
        world.aws.clock.call_later(20, lambda: call(**parameters))

    world.lies["delete_connection"] = lie


def settable(_: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certificates, "_SETTABLE", (*certificates._SETTABLE, "PENDING_ACTIVATION"))


def _described(change: Mapping[str, Any]) -> Callable[[Any], Any]:
    def lie(answer: Any) -> Any:
        description = {**answer["certificateDescription"], **change}
        kept = {key: value for key, value in description.items() if value is not None}
        return {**answer, "certificateDescription": kept}

    return lie


def _modes(mode: str) -> dict[tuple[str, str], Tell]:
    account = ACCOUNT_OF[mode]
    return {
        ("ca-id", f"CA id, {mode}"): other_ca_ids(mode),
        ("device-of-ca", f"caCertificateId, {mode}"): changed(
            "describe_certificate", _described({"caCertificateId": None}), account
        ),
        ("device-of-ca", f"certificateMode, {mode}"): changed(
            "describe_certificate", _described({"certificateMode": "OTHER"}), account
        ),
        ("device-of-ca", f"ListCertificatesByCA, {mode}"): changed(
            "list_certificates_by_ca", lambda _: {"certificates": []}, account
        ),
        ("event", f"first event, {mode}"): event(mode, lambda _: None, first=True),
        ("event", f"fields, {mode}"): event(mode, lambda found: found | {"sourceIp": "192.0.2.1"}, first=True),
        ("event", f"timestamp, {mode}"): event(
            mode, lambda found: found | {"timestamp": str(found["timestamp"])}, first=True
        ),
        ("event", f"certificateRegistrationTimestamp of the first, {mode}"): event(
            mode, lambda found: found | {"certificateRegistrationTimestamp": "x"}, first=True
        ),
        ("event", f"repeated, {mode}"): event(mode, lambda _: None, first=False),
        ("event", f"certificateRegistrationTimestamp, repeated, {mode}"): event(
            mode,
            lambda found: found | {"certificateRegistrationTimestamp": int(found["certificateRegistrationTimestamp"])},
            first=False,
        ),
        ("event", f"creationDate beside it, {mode}"): event(
            mode,
            lambda found: (
                found | {"certificateRegistrationTimestamp": str(int(found["certificateRegistrationTimestamp"]) + 5000)}
            ),
            first=False,
        ),
        ("leaf-alone", f"registered by its leaf alone, {mode}"): turned_away(
            lambda where, _, __, alone, ___: alone and where == account
        ),
        ("both-modes", f"one device registers in the {mode} account"): turned_away(
            lambda where, identity, *_: "-both-" in identity.name and where == account
        ),
    }


_NO = refused("LimitExceededException")
LIES: dict[tuple[str, str], Tell] = {
    **_modes(DEFAULT),
    **_modes(SNI_ONLY),
    ("ca-id", "device's id"): other_device_ids,
    ("registration-code", "same code in two Regions"): changed(
        "get_registration_code", lambda _: {"registrationCode": "f" * 64}
    ),
    ("no-sni", "registered without SNI, DEFAULT"): turned_away(lambda _, __, sni, *___: not sni),
    ("no-sni", "registered without SNI, SNI_ONLY"): lambda world, _: setattr(world, "takes_no_sni", True),
    ("both-modes", "SNI_ONLY beside DEFAULT"): instead(
        "register_ca_certificate", lambda said, _, __: _NO if said["certificateMode"] == SNI_ONLY else None
    ),
    ("second-default", "second account in DEFAULT mode"): instead(
        "register_ca_certificate", lambda _, where, __: _NO if where == ACCOUNT_OF[SNI_ONLY] else None
    ),
    ("outside-validity", "expired"): undocumented(registers_outside_validity=False),
    ("outside-validity", "not yet valid"): named("early"),
    **{("odd-shapes", shape): odd(number) for number, shape in enumerate(ODD_SHAPES)},
    ("revoked", "REVOKED to INACTIVE"): instead(
        "update_certificate", lambda _, __, number: _NO if number == 2 else None
    ),
    ("revoked", "REVOKED to ACTIVE"): undocumented(revoked_may_become_active=True),
    ("without-ca", "caCertificateId"): changed("describe_certificate", _described({"caCertificateId": "c" * 64})),
    ("without-ca", "registered again"): instead(
        "register_certificate_without_ca", lambda _, __, number: {} if number == 2 else None
    ),
    ("without-ca", "lastModifiedDate - creationDate"): modified_by("register_certificate_without_ca"),
    ("without-ca", "lastModifiedDate - creationDate, with a thing"): modified_by("attach_thing_principal"),
    ("without-ca", "lastModifiedDate - creationDate, with a policy"): modified_by("attach_policy"),
    ("pending-set", "INACTIVE to PENDING_ACTIVATION"): settable,
    ("exclusive", "attached again"): instead(
        "attach_thing_principal", lambda _, __, number: _NO if number == 2 else None
    ),
    ("exclusive", "attached again, not exclusively"): instead(
        "attach_thing_principal", lambda _, __, number: {} if number == 3 else None
    ),
    ("exclusive", "attached to another thing"): instead(
        "attach_thing_principal", lambda _, __, number: {} if number == 4 else None
    ),
    ("exclusive", "two certificates on one thing"): instead(
        "attach_thing_principal", lambda _, __, number: _NO if number == 5 else None
    ),
    ("exclusive", "attached not exclusively, then exclusively"): instead(
        "attach_thing_principal", lambda _, __, number: {} if number == 7 else None
    ),
    ("detached", "detached after"): undocumented(detach_seconds=40),
    ("connected-after", "ACTIVE to CONNACK"): turned_away(
        lambda _, identity, *rest: "-activated-" in identity.name and 1 < rest[-1] < 20
    ),
    ("unauthorized-subscribe", "unauthorized SUBSCRIBE"): lambda world, _: setattr(
        world, "unauthorized_subscribe", "failure code"
    ),
    ("reconnected", "DeleteConnection to the session's end"): late_deletion,
    ("reconnected", "the end to an accepted CONNECT"): turned_away(
        lambda _, identity, *rest: "-deleted-" in identity.name and 2 < rest[-1] < 20
    ),
    ("event-with-template", "registered"): named("template"),
    ("event-with-template", "event"): undocumented(publishes_with_template=True),
    ("template-removed", "template"): undocumented(removal_takes_template=False),
    ("template-removed", "auto-registration"): undocumented(removal_ends_registration=True),
    ("template-removed", "lastModifiedDate"): changed(
        "describe_ca_certificate", _described({"lastModifiedDate": None})
    ),
    ("template-removed", "event afterwards"): named("removed"),
    ("loop", "the loop is stopped"): lambda world, _: setattr(world.extras["prod"], "stops_loops", False),
    ("loop", "harmless messages stopped with it"): undocumented(loop_stops_whole_batch=False),
    ("session-ends", "INACTIVE to the session's end"): undocumented(session_seconds=600),
}
# What else is another answer with one of these: a lie about one thing may show in others.
BESIDE: Mapping[tuple[str, str], set[str]] = {
    ("template-removed", "template"): {"event afterwards"},
    ("without-ca", "lastModifiedDate - creationDate"): {
        "lastModifiedDate - creationDate, with a thing",
        "lastModifiedDate - creationDate, with a policy",
    },
    ("without-ca", "lastModifiedDate - creationDate, with a thing"): {"lastModifiedDate - creationDate, with a policy"},
    ("outside-validity", "expired"): {"not yet valid"},
    ("revoked", "REVOKED to ACTIVE"): {"REVOKED to INACTIVE"},
}
