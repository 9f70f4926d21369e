"""The one list of admission's checks, in the order in which they run; the order is a check's number.

procedure.py runs it, fleet.toml offers its names (`[ca.x.checks]`), and `jitrctl verify` prints its sentences.
"""

from collections.abc import Callable

from jitr.admission import checks
from jitr.admission.checks import CheckInput
from jitr.frozen import value
from jitr.rules import HOOK


@value
class Check:
    """One check: its name in fleet.toml, what runs it, and what a device that passes it has (`{ca}`: its CA's name)."""

    name: str
    run: Callable[[CheckInput], None]  # raises Rejected
    passed: str
    has_mode: bool = True  # a CA's rules may observe it, or leave it off


CHECKS = (
    Check(
        name="identity",
        run=checks.check_identity,
        passed="one readable certificate, and its id is the SHA-256 of its DER",
    ),
    Check(name="issuance", run=checks.check_issuance, passed="CA {ca} issued it, and is itself a CA and valid"),
    Check(name="validity", run=checks.check_validity, passed="valid now, for long enough, and not for too long"),
    Check(
        name="key",
        run=checks.check_key,
        passed="of an allowed type and size, not known to be weak, and not the CA's own",
    ),
    Check(name="signature", run=checks.check_signature, passed="signed with SHA-256 or better"),
    Check(
        name="extensions",
        run=checks.check_extensions,
        passed="nothing in its extensions that a device must not have",
    ),
    Check(
        name="subject",
        run=checks.check_subject,
        passed="named as the CA's pattern asks, and nothing unsafe in its names",
    ),
    # They are what is provisioned, so they are never off; they belong to check 7.
    Check(name="names", run=checks.check_names, passed="legal names can be made from it", has_mode=False),
    Check(name="revocation", run=checks.check_revocation, passed="not revoked"),
    Check(name="enrollment", run=checks.check_enrollment, passed="its enrollment allows it"),
)
# What fleet.toml can set a mode for: these, and the hook, which is asked about those who passed them.
CHECK_NAMES = tuple(check.name for check in CHECKS if check.has_mode)
MODES = (*CHECK_NAMES, HOOK)
