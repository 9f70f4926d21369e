"""The account that the tests on the local AWS share."""

from jitrctl.localaws.accounts import AccountSpec

DEV = AccountSpec(name="dev", id="111111111111", region="eu-central-1", profile="acme-dev")
