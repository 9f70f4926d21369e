"""Reads what is known of single certificates: jitr's records and owners, and descriptions of what no list explains."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from jitr.admission.issuers import find_issuer
from jitr.iot_models import DeviceRegistration, Status
from jitr.x509.certificate import Certificate
from jitrctl.survey.origins import HELD_UNDER_TEMPLATE
from jitrctl.survey.survey_calls import BATCH, in_iso

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jitrctl.survey.survey_calls import SurveyCalls

# Certificates that neither a CA's list nor a record of jitr explains.
UNEXPLAINED = "FROM certificate WHERE stage = ? AND ca IS NULL AND NOT described"


def read_records(survey: SurveyCalls, after: str | None) -> None:
    """Keep jitr's decision on each certificate, and its CA or source where AWS names none."""
    query = "SELECT id FROM certificate WHERE stage = ? AND id > ? ORDER BY id LIMIT ?"
    after = after or ""
    while ids := [row[0] for row in survey.file.rows(query, survey.name, after, BATCH)]:
        after, rows = ids[-1], []
        for certificate_id, record in survey.calls.repeat("BatchGetItem", lambda: _recall(survey, ids)).items():
            if record.decision is not None:
                ca = record.ca_certificate_id
                known = HELD_UNDER_TEMPLATE if record.is_held_under_template else record.decision.outcome.value
                rows.append((known, record.decision.thing_name, ca, ca, survey.name, certificate_id))
        survey.keep(
            "records",
            after,
            "UPDATE certificate SET record = ?, record_thing = ?, record_ca = ?, ca = coalesce(ca, ?) "
            "WHERE stage = ? AND id = ?",
            rows,
        )


def read_owners(survey: SurveyCalls, after: str | None) -> None:
    """Keep which certificate owns each thing's name in jitr's registry."""
    query = "SELECT name FROM thing WHERE stage = ? AND name > ? ORDER BY name LIMIT ?"
    after = after or ""
    while names := [row[0] for row in survey.file.rows(query, survey.name, after, BATCH)]:
        after = names[-1]
        found = survey.calls.repeat("BatchGetItem", lambda: _owners(survey, names))
        rows = [(owner.certificate_id, survey.name, name) for name, owner in found.items()]
        survey.keep("owners", after, "UPDATE thing SET owner = ? WHERE stage = ? AND name = ?", rows)


def describe_unexplained(survey: SurveyCalls, _: str | None) -> None:
    """Describe each certificate that is not explained; one that was deleted meanwhile is forgotten."""
    describe = "UPDATE certificate SET described = 1, ca = ?, named = ?, mode = coalesce(mode, ?), status = ?, "
    for ids in survey.unasked(f"SELECT id {UNEXPLAINED} AND id > ? ORDER BY id"):
        rows: list[Sequence[Any]] = []
        gone = []
        for certificate_id in ids:
            answer = survey.make("DescribeCertificate", survey.iot.describe_certificate, certificateId=certificate_id)
            if answer is None:
                gone.append((survey.name, certificate_id))
            else:
                rows.append((*_read(survey, answer["certificateDescription"]), survey.name, certificate_id))
        survey.file.write(
            (f"{describe} facts = ?, ends_at = ? WHERE stage = ? AND id = ?", rows),
            ("DELETE FROM certificate WHERE stage = ? AND id = ?", gone),
            ("DELETE FROM attachment WHERE stage = ? AND principal = ?", gone),
            ("DELETE FROM attached WHERE stage = ? AND target = ?", gone),
        )


def _read(survey: SurveyCalls, description: dict[str, Any]) -> tuple[str | None, bool, str | None, str, str, Any]:
    """The CA, whether AWS names it, mode, status, the facts that tell of a certificate's origin, and its end."""
    named = description.get("caCertificateId")
    device = find_issuer(
        DeviceRegistration(
            certificate_id=description["certificateId"],
            arn=description["certificateArn"],
            status=Status(description["status"]),
            pem=description["certificatePem"],
            ca_certificate_id=named,
            created_at=description["creationDate"],
        ),
        survey.stage.rules,
    )
    try:
        certificate = Certificate.from_pem(device.pem)
        issuer, subject, ends_at = certificate.issuer, certificate.subject, in_iso(certificate.not_after)
    except Exception:  # noqa: BLE001 -- any reader's error: a certificate that cannot be read is counted, too
        issuer, subject, ends_at = None, None, None
    facts = {
        "issuer": issuer,
        "subject": subject,
        "transferred": bool(description.get("previousOwnedBy") or description.get("transferData")),
    }
    ca = device.ca_certificate_id
    return ca, bool(named), description.get("certificateMode"), device.status, json.dumps(facts), ends_at


def _recall(survey: SurveyCalls, ids: list[str]) -> dict[str, Any]:
    survey.calls.counts["BatchGetItem"] += 1
    try:
        return survey.stage.registry.recall(ids)
    except ClientError as error:
        return _without_table(error)


def _owners(survey: SurveyCalls, names: list[str]) -> dict[str, Any]:
    survey.calls.counts["BatchGetItem"] += 1
    try:
        return survey.stage.registry.owners(names)
    except ClientError as error:
        return _without_table(error)


def _without_table(error: ClientError) -> dict[str, Any]:
    """Nothing, if the account has no stack yet; raises the error otherwise."""
    if error.response["Error"]["Code"] != "ResourceNotFoundException":
        raise error
    return {}
