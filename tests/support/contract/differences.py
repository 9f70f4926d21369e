"""Where an implementation differs from what AWS documents: one table, which the tests and docs/divergences.md share.

A test says what AWS does, and with `expected` what is found instead where a difference is known. So a difference that
disappears, or becomes another one, fails the test that names it.
"""

from dataclasses import dataclass
from typing import Any

from tests.support.contract.places import LOCAL_AWS, Name, Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One difference; the sentences are those of docs/divergences.md."""

    id: str
    where: Name
    aws: str  # what AWS documents
    does: str  # what happens here
    why: str  # it does not matter for jitr, or what is done about it


DIFFERENCES = (
    Difference(
        id="attachment-types-missing",
        where=LOCAL_AWS,
        aws="ListThingPrincipalsV2 and ListPrincipalThingsV2 also answer `thingPrincipalType`",
        does="neither operation is known: InvalidRequestException",
        why="jitrctl asks the first versions",
    ),
    Difference(
        id="attribute-values-unchecked",
        where=LOCAL_AWS,
        aws="an attribute's value holds no space, `+`, `*` or letter outside ASCII: InvalidRequestException",
        does="any value is accepted",
        why="`naming.py` refuses such a value before any call; the simulation refuses it too",
    ),
    Difference(
        id="attributes-uncounted",
        where=LOCAL_AWS,
        aws="a thing without a type has three attributes at most: InvalidRequestException",
        does="any number is accepted",
        why="the refusal is tested on the simulation",
    ),
    Difference(
        id="billing-groups-missing",
        where=LOCAL_AWS,
        aws="CreateThing puts a thing into a billing group, which must exist",
        does="there are no billing groups: CreateThing ignores them, all other calls are refused",
        why=(
            "the local stack makes none; a device whose thing exists is held there (`REQUEST_REFUSED`); "
            "the simulation has them"
        ),
    ),
    Difference(
        id="ca-changes-undated",
        where=LOCAL_AWS,
        aws="DescribeCACertificate answers when the CA was last changed",
        does="it does not",
        why=(
            "`register` then decides at once when a provisioning template is taken off, and none is at work there; "
            "the minute that it waits for one is tested on the simulation"
        ),
    ),
    Difference(
        id="ca-validity-missing",
        where=LOCAL_AWS,
        aws="DescribeCACertificate answers the CA's validity",
        does="it does not",
        why="validity is read from the certificate",
    ),
    Difference(
        id="certificate-modes-unlisted",
        where=LOCAL_AWS,
        aws="ListCertificates answers each certificate's mode",
        does="it does not",
        why="a survey has the mode of those that it describes, and says `-` of the others",
    ),
    Difference(
        id="certificate-validity-missing",
        where=LOCAL_AWS,
        aws="DescribeCertificate answers the certificate's validity",
        does="it does not",
        why="validity is read from the certificate",
    ),
    Difference(
        id="connection-half-told",
        where=LOCAL_AWS,
        aws="GetConnection also answers ports (if sockets are requested) and the keep-alive",
        does="it answers neither",
        why="jitrctl reads the address alone",
    ),
    Difference(
        id="deleted-again-refused",
        where=LOCAL_AWS,
        aws="to delete a message again succeeds",
        does="DeleteMessageBatch names it as failed: ReceiptHandleIsInvalid",
        why="`register` does not read the answer",
    ),
    Difference(
        id="detached-at-once",
        where=LOCAL_AWS,
        aws="DetachThingPrincipal is asynchronous: for several seconds the certificate cannot be deleted",
        does="it is detached when the call returns",
        why="the simulation takes five seconds; `jitrctl device release` tries again until it works",
    ),
    Difference(
        id="empty-attribute-taken",
        where=LOCAL_AWS,
        aws="a message attribute's value is not empty: refused with HTTP status 400",
        does="accepted",
        why="`register` never sends one (`messages.py`); the refusal is tested on the simulation",
    ),
    Difference(
        id="event-unchecked",
        where=LOCAL_AWS,
        aws="PutEvents names an entry that is malformed in its answer, and counts it (FailedEntryCount)",
        does="every entry is accepted",
        why="a failed entry is tested on the simulation",
    ),
    Difference(
        id="exclusive-thing-ignored",
        where=LOCAL_AWS,
        aws="a certificate that is exclusively one thing's goes on no other (`thingPrincipalType`)",
        does="accepted, ignored",
        why="the refusal is tested on the simulation, the parameter on the API call",
    ),
    Difference(
        id="expired-ca-registered",
        where=LOCAL_AWS,
        aws="RegisterCACertificate refuses a CA outside its validity: CertificateValidationException",
        does="registered",
        why="`fleet.toml` is checked for it before",
    ),
    Difference(
        id="jitp-not-run",
        where=LOCAL_AWS,
        aws="a CA with a provisioning template provisions its devices at their first CONNECT (JITP), without the event",
        does="the template is kept and never run: the device stays PENDING_ACTIVATION, and the event is published",
        why="the simulation runs templates (`simulation/iot/just_in_time.py`)",
    ),
    Difference(
        id="odd-certificates-unread",
        where=LOCAL_AWS,
        aws="AWS IoT is known to accept certificates that cryptography refuses; its parser is not documented",
        does="reads with cryptography: a subject with `&` in PrintableString, BOOLEAN 01 or NULL behind "
        "ecdsa-with-SHA256 is not registered",
        why="the simulation takes them, and tests them from the first connection on (tests/simulation, "
        "test_odd_certificates.py)",
    ),
    Difference(
        id="overlapping-paths-taken",
        where=LOCAL_AWS,
        aws="an update expression that names an attribute twice is refused: ValidationException",
        does="accepted",
        why="every expression of jitr runs on the simulation as well",
    ),
    Difference(
        id="page-sizes-ignored",
        where=LOCAL_AWS,
        aws="a list has as many items a page as are requested, and 250 at most; here ListCertificatesByCA alone has",
        does="everything is on one page",
        why="pages, and a survey that goes on at any of them, are tested on the simulation",
    ),
    Difference(
        id="pending-settable",
        where=LOCAL_AWS,
        aws="UpdateCertificate refuses PENDING_ACTIVATION",
        does="accepted",
        why="jitr never asks for it",
    ),
    Difference(
        id="policies-uncounted",
        where=LOCAL_AWS,
        aws="a certificate has ten policies at most: LimitExceededException",
        does="any number is attached",
        why="the refusal is tested on the simulation",
    ),
    Difference(
        id="taken-thing-unnamed",
        where=LOCAL_AWS,
        aws="CreateThing's ResourceAlreadyExistsException names the thing (`resourceId`, `resourceArn`)",
        does="it does not",
        why="jitr does not read them",
    ),
    Difference(
        id="template-kept",
        where=LOCAL_AWS,
        aws="`removeAutoRegistration` is assumed to take a CA's template off, and to do nothing else",
        does="it disables auto-registration, and the template stays",
        why="`jitrctl prove` asks AWS (template-removed); the simulation has a switch for each part",
    ),
    Difference(
        id="unknown-failure-ignored",
        where=LOCAL_AWS,
        aws="an answer that names an id which is not the batch's fails the whole batch",
        does="the id is ignored",
        why="`register` names only ids of its batch",
    ),
    Difference(
        id="unknown-targets-bare",
        where=LOCAL_AWS,
        aws="ListAttachedPolicies of a certificate that is not there: ResourceNotFoundException",
        does="it has no policies",
        why="the error is tested on the simulation",
    ),
    Difference(
        id="visibility-unchecked",
        where=LOCAL_AWS,
        aws=(
            "ChangeMessageVisibility refuses more than twelve hours (InvalidParameterValue), "
            "and a message that is not in flight (MessageNotInflight)"
        ),
        does="accepted",
        why="`register` puts off for 15 minutes at most, and takes a refusal as it comes",
    ),
)

_BY_ID = {difference.id: difference for difference in DIFFERENCES}


def expected(place: Place, aws: Any, **but: Any) -> Any:
    """What a place must answer: what AWS does, unless a difference is known; `but` is id → what is found instead.

    The ids are written with underscores here.
    """
    for written, instead in but.items():
        difference = _BY_ID[written.replace("_", "-")]
        assert instead != aws, f"{difference.id} is no difference"
        if difference.where == place.name:
            return instead
    return aws


def rows() -> str:
    """The table of docs/divergences.md."""
    lines = ["| | AWS | where | what happens there | so |", "|---|---|---|---|---|"]
    lines += [
        f"| `{one.id}` | {one.aws} | {one.where} | {one.does} | {one.why} |"
        for one in sorted(DIFFERENCES, key=lambda one: (one.where != LOCAL_AWS, one.id))
    ]
    return "\n".join(lines)
