"""Makes a device's first shadow from its certificate: the CA's document, its template fields filled.

A value of the certificate is only ever a part of a JSON string: it can add no key, and end no string.
"""

import json
from typing import Any

from jitr.admission.naming import fill
from jitr.errors import Reason, Rejected
from jitr.rules import CaRules
from jitr.x509.certificate import Certificate

# The field that only a shadow's template has, besides those of all templates (rules.TEMPLATE_FIELDS).
THING_NAME_FIELD = "thing_name"

# Quota "Maximum size of a JSON state document" (AWS General Reference, AWS IoT Device Shadow): 8 KB of desired and
# reported state. Here the whole request is counted, a few bytes more.
MOST_SHADOW_BYTES = 8192


def fill_shadow(rules: CaRules, certificate: Certificate, thing_name: str) -> str | None:
    """The request of UpdateThingShadow for a device; None if the CA's rules give no shadow.

    Raises Rejected(NAME_NOT_LEGAL) when it is too large, Rejected(SUBJECT_FIELD_MISSING), and as `naming.fill` does.
    """
    if rules.shadow is None:
        return None

    def filled(part: Any) -> Any:
        if isinstance(part, dict):
            return {name: filled(value) for name, value in part.items()}
        if isinstance(part, list):
            return [filled(value) for value in part]
        if isinstance(part, str):
            return fill(part, rules, certificate, {THING_NAME_FIELD: thing_name})
        return part

    document = shadow_text(filled(json.loads(rules.shadow)))
    size = len(document.encode())
    if size > MOST_SHADOW_BYTES:
        raise Rejected(
            Reason.NAME_NOT_LEGAL,
            f"with the certificate's values the shadow has {size} bytes; AWS IoT allows {MOST_SHADOW_BYTES}",
        )
    return document


def shadow_text(document: Any) -> str:
    """A shadow as compact JSON."""
    return json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
