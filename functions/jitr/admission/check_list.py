"""The list of admission's checks, in the order in which they run.

procedure.py runs it, fleet.toml offers its names (`[ca.x.checks]`), and `jitrctl verify` prints its sentences.
"""

from collections.abc import Callable

from jitr.admission import checks
from jitr.admission.checks import CheckInput
from jitr.frozen import value
from jitr.rules import HOOK


@value
class Check:
    """One check: its name in fleet.toml, its function, and what is true of a device that passes (`{ca}`: its CA)."""

    name: str
    run: Callable[[CheckInput], None]  # raises Rejected
    sentence: str
    has_mode: bool = True  # a CA's rules may set it to observe or off
    # Why it cannot be evaluated with the certificate and the rules alone (`jitrctl verify`); empty: it can.
    needs_account: str = ""


CHECKS = (
    Check(
        name="identity",
        run=checks.check_identity,
        sentence="one readable certificate, and its id is the SHA-256 of its DER",
    ),
    Check(name="issuance", run=checks.check_issuance, sentence="CA {ca} issued it, and is itself a CA and valid"),
    Check(name="validity", run=checks.check_validity, sentence="valid now, for long enough, and not for too long"),
    Check(
        name="key",
        run=checks.check_key,
        sentence="of an allowed type and size, not known to be weak, and not the CA's own",
    ),
    Check(name="signature", run=checks.check_signature, sentence="signed with SHA-256 or better"),
    Check(
        name="extensions",
        run=checks.check_extensions,
        sentence="nothing in its extensions that a device must not have",
    ),
    Check(
        name="subject",
        run=checks.check_subject,
        sentence="named as the CA's pattern asks, and nothing unsafe in its names",
    ),
    # Part of check 7. These names are provisioned, so it is never off.
    Check(name="names", run=checks.check_names, sentence="legal names can be made from it", has_mode=False),
    Check(name="revocation", run=checks.check_revocation, sentence="not revoked", needs_account="no CRL was given"),
    Check(
        name="enrollment",
        run=checks.check_enrollment,
        sentence="its enrollment allows it",
        needs_account="the enrollment entries are in the account's table",
    ),
)
# The checks whose mode fleet.toml can set, and with them the hook.
CHECK_NAMES = tuple(check.name for check in CHECKS if check.has_mode)
MODES = (*CHECK_NAMES, HOOK)
# What offline evaluation leaves out, and why.
UNREAD_OFFLINE = {
    **{check.name: check.needs_account for check in CHECKS if check.needs_account},
    HOOK: "a hook is asked by the function alone",
}
