"""Lists the certificates, things and policies of one stage, page by page."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jitrctl.survey.survey_calls import SurveyCalls


def list_certificates(survey: SurveyCalls, marker: str | None) -> None:
    """Keep each certificate with its status and mode."""
    for answer, after in survey.pages("ListCertificates", survey.iot.list_certificates, marker, ascendingOrder=True):
        rows = [
            (survey.name, one["certificateId"], one["status"], one.get("certificateMode"))
            for one in answer["certificates"]
        ]
        survey.keep(
            "certificates",
            after,
            "INSERT OR IGNORE INTO certificate (stage, id, status, mode) VALUES (?, ?, ?, ?)",
            rows,
        )


def list_by_ca(survey: SurveyCalls, place: str | None) -> None:
    """Keep the CA of each certificate of which AWS names it; the place is a CA and a marker in its list."""
    begun, _, marker = (place or "").partition("|")
    cas = [row[0] for row in survey.file.rows("SELECT id FROM ca WHERE stage = ? ORDER BY id", survey.name)]
    for ca in cas:
        if ca < begun:
            continue
        pages = survey.pages(
            "ListCertificatesByCA",
            survey.iot.list_certificates_by_ca,
            (marker or None) if ca == begun else None,
            ascendingOrder=True,
            caCertificateId=ca,
        )
        for answer, after in pages:
            rows = [(ca, survey.name, one["certificateId"]) for one in answer["certificates"]]
            survey.keep(
                "by CA",
                f"{ca}|{after or ''}",
                "UPDATE certificate SET ca = ?, named = 1 WHERE stage = ? AND id = ?",
                rows,
            )


def list_things(survey: SurveyCalls, marker: str | None) -> None:
    """Keep the name of each thing."""
    for answer, after in survey.pages("ListThings", survey.iot.list_things, marker, old=False):
        rows = [(survey.name, one["thingName"]) for one in answer["things"]]
        survey.keep("things", after, "INSERT OR IGNORE INTO thing (stage, name) VALUES (?, ?)", rows)


def list_policies(survey: SurveyCalls, marker: str | None) -> None:
    """Keep the name of each policy."""
    for answer, after in survey.pages("ListPolicies", survey.iot.list_policies, marker):
        rows = [(survey.name, one["policyName"]) for one in answer["policies"]]
        survey.keep("policies", after, "INSERT OR IGNORE INTO policy (stage, name) VALUES (?, ?)", rows)
