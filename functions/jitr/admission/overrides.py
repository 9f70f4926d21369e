"""What an enrollment entry or the hook gives one device in addition to its CA's rules.

That is a thing type, groups and attributes. They must satisfy the same naming rules as fleet.toml, and use only types
and groups that the stack has created.
"""

from collections.abc import Iterator, Mapping
from dataclasses import field

from jitr.admission.naming import (
    ATTRIBUTE_NAME,
    ATTRIBUTE_VALUE,
    MOST_ATTRIBUTES_TYPED,
    MOST_ATTRIBUTES_UNTYPED,
    MOST_GROUPS,
    RESERVED_PREFIX,
)
from jitr.frozen import value
from jitr.rules import CaRules


@value
class Additions:
    """A thing type in place of the CA's, additional groups, and attributes that win over the CA's of the same name."""

    thing_type: str | None = None
    thing_groups: tuple[str, ...] = ()
    attributes: Mapping[str, str] = field(default_factory=dict)

    def over(self, other: "Additions") -> "Additions":
        """Both together; these win if they conflict."""
        return Additions(
            thing_type=self.thing_type or other.thing_type,
            thing_groups=tuple(dict.fromkeys((*other.thing_groups, *self.thing_groups))),
            attributes={**other.attributes, **self.attributes},
        )

    def problem(self, rules: CaRules) -> str | None:
        """Why a thing of this CA cannot have them; None when it can."""
        return next(self._problems(rules), None)

    def _problems(self, rules: CaRules) -> Iterator[str]:
        types = {rules.thing_type, *rules.extra_types, None}
        groups = {*rules.thing_groups, *rules.extra_groups}
        if self.thing_type not in types:
            yield f"thing type {self.thing_type!a} is neither the CA's thing_type nor in its extra_types"
        for group in self.thing_groups:
            if group not in groups:
                yield f"thing group {group!a} is neither in the CA's thing_groups nor in its extra_groups"
        for name, text in self.attributes.items():
            if not ATTRIBUTE_NAME.fullmatch(name) or name.casefold().startswith(RESERVED_PREFIX):
                yield f"{name!a} is not a legal attribute name, or begins with {RESERVED_PREFIX}"
            if not ATTRIBUTE_VALUE.fullmatch(text):
                yield f"the value {text!a} of attribute {name!a} is not legal in AWS IoT"
        whole = self.over(
            Additions(thing_type=rules.thing_type, thing_groups=rules.thing_groups, attributes=rules.attributes)
        )
        if len(whole.thing_groups) > MOST_GROUPS:
            yield f"the thing would join {len(whole.thing_groups)} groups, AWS IoT allows {MOST_GROUPS}"
        most = MOST_ATTRIBUTES_TYPED if whole.thing_type else MOST_ATTRIBUTES_UNTYPED
        if len(whole.attributes) > most:
            yield f"the thing would have {len(whole.attributes)} attributes, the limit is {most}"
