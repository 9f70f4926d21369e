"""Checks that the keys of fleet.toml agree with each other: keys of a table, accounts, CAs.

Single values are checked where they are read (values.py, names.py). Every check uses the keys that could be read and
ignores the others, so that one mistake is reported once.
"""

from collections.abc import Iterator, Mapping

from jitr.admission.naming import MOST_ATTRIBUTES_TYPED, MOST_ATTRIBUTES_UNTYPED
from jitr.rules import CertificateMode, CheckMode
from jitr_fleet.choices import RegisteredBy
from jitr_fleet.keys import Draft
from jitr_fleet.names import KMS_KEY, ROLE_ARN, TOPIC, partition_of
from jitr_fleet.problems import KeyPosition, guess_word, show, suggest
from jitr_fleet.templates import check_names
from jitr_fleet.values import format_duration


def check_agreement(fleet: Draft, root: KeyPosition, *, proven: bool = True) -> None:
    """Report every contradiction in a document; `root` is the position of the whole file.

    Without `proven` no verification certificates are required.
    """
    for place, origin in _origins(fleet, root):
        _check_attributes(origin, place)
        check_names(origin, place)
        _check_lives(origin, place)
        _check_revocation(origin, place)
    _check_sweep(fleet.get("sweep", {}), root.at("sweep"))
    _check_topic(fleet, root)
    _check_keys(fleet, root)
    _check_homes(fleet, root)
    _check_hub(fleet, root)
    _check_existing(fleet, root)
    _check_successions(fleet, root)
    _check_account_ids(fleet, root)
    _check_roles(fleet, root)
    _check_endpoints(fleet, root)
    _check_partitions(fleet, root)
    _check_registrations(fleet, root, proven=proven)
    _check_single_default(fleet, root)
    _check_origins_given(fleet, root)
    _check_cas_used(fleet, root)
    _check_sources(fleet, root)


def registrations(fleet: Draft) -> Iterator[tuple[str, str, Draft]]:
    """Iterate over the CAs of each account: account name, CA name, draft of `[account.<name>.ca.<ca>]`."""
    for account, draft in fleet.get("account", {}).items():
        for ca, registration in draft.get("ca", {}).items():
            yield account, ca, registration


def _origins(fleet: Draft, root: KeyPosition) -> Iterator[tuple[KeyPosition, Draft]]:
    """Iterate over the CAs and the sources, each with its position."""
    for kind in ("ca", "registered"):
        for name, draft in (fleet.get(kind) or {}).items():
            yield root.at(kind, name), draft


def _check_attributes(ca: Draft, place: KeyPosition) -> None:
    if "thing_type" not in ca:  # present but unreadable; without a type it is None
        return
    allowed = MOST_ATTRIBUTES_TYPED if ca["thing_type"] else MOST_ATTRIBUTES_UNTYPED
    count = len(ca.get("attributes", {}))
    if count > allowed:
        remedy = "" if ca["thing_type"] else f"; with a thing_type there may be {MOST_ATTRIBUTES_TYPED}"
        place.at("attributes").problem(
            f"holds {count} attributes", f"keep {allowed}: AWS IoT allows one more, which jitr uses{remedy}"
        )


def _check_lives(ca: Draft, place: KeyPosition) -> None:
    least, greatest = ca.get("minimum_remaining_life"), ca.get("maximum_life")
    if least is not None and greatest is not None and greatest < least:
        place.at("maximum_life").problem(
            "is shorter than minimum_remaining_life, so no certificate would pass",
            f'write at least "{format_duration(least)}"',
        )


def _check_revocation(ca: Draft, place: KeyPosition) -> None:
    """A CRL that ends ACTIVE devices must also keep new ones out: otherwise a listed device comes up after it."""
    mode = ca.get("checks", {}).get("revocation")
    if ca.get("revocation_of_active") is CheckMode.ENFORCE and mode not in (None, CheckMode.ENFORCE):
        place.at("revocation_of_active").problem(
            'is "enforce", but the check revocation is not, so new devices that the CRL lists are admitted',
            f'write revocation = "enforce" below [{place}.checks], or revocation_of_active = "observe"',
        )


def _check_sweep(sweep: Draft, place: KeyPosition) -> None:
    if sweep.keys() >= {"every", "pending_after", "horizon"}:
        least = sweep["pending_after"] + sweep["every"]
        if sweep["horizon"] < least:
            place.at("horizon").problem(
                "is too short for the sweep to see every certificate once",
                f'write at least every + pending_after: "{format_duration(least)}"',
            )
    if sweep.get("every", 0) % 60:
        place.at("every").problem("is not a whole number of minutes", "EventBridge schedules in minutes: round it")


def _check_existing(fleet: Draft, root: KeyPosition) -> None:
    """Types and groups that two CAs or sources share exist before the stack for both, or for neither."""
    first: dict[tuple[str, str], tuple[KeyPosition, Draft]] = {}
    for place, ca in _origins(fleet, root):
        types = [("thing type", one) for one in [ca.get("thing_type")] if one]
        billing = [("billing group", one) for one in [ca.get("billing_group")] if one]
        for shared in [*types, *billing, *(("thing group", one) for one in ca.get("thing_groups", ()))]:
            other, earlier = first.setdefault(shared, (place, ca))
            if "existing" in ca and earlier.get("existing", ca["existing"]) != ca["existing"]:
                place.at("existing").problem(
                    f"contradicts {other}, which has the {shared[0]} {show(shared[1])} too",
                    "write existing = true for both if it exists already, and for neither if the stack is to create it",
                )
                break


def _check_topic(fleet: Draft, root: KeyPosition) -> None:
    """Alarms publish only to topics of their own Region (CloudWatch, PutMetricAlarm, AlarmActions)."""
    written = fleet.get("alarms", {}).get("topic")
    match = TOPIC.fullmatch(written) if written else None
    if match is None or match["region"] == "<region>":
        return
    others = {region for account in fleet.get("account", {}).values() for region in account.get("regions", ())}
    if elsewhere := sorted(others - {match["region"]}):
        root.at("alarms", "topic").problem(
            f"is in {match['region']}; alarms in {', '.join(elsewhere)} cannot publish to it",
            "write <region> in place of the Region, and create a topic of that name in each Region",
        )


def _check_keys(fleet: Draft, root: KeyPosition) -> None:
    """A key is used only in its own account and Region; only an alias can have the same name in two accounts."""
    common = fleet.get("stack", {}).get("kms_key")
    without_own = []
    for name, account in fleet.get("account", {}).items():
        if not account.keys() >= {"id", "regions", "kms_key"}:
            continue
        if account["kms_key"]:
            _check_key(account["kms_key"], root.at("account", name, "kms_key"), [account])
        else:
            without_own.append(account)
    if common:
        _check_key(common, root.at("stack", "kms_key"), without_own)


def _check_homes(fleet: Draft, root: KeyPosition) -> None:
    """The accounts in a CA's `home` have the CA registered."""
    accounts = fleet.get("account", {})
    for name, ca in fleet.get("ca", {}).items():
        for number, home in enumerate(ca.get("home", ())):
            place = root.at("ca", name, "home", number)
            if home not in accounts:
                place.problem(f"is {show(home)}, which is not an account of this file", suggest(home, accounts))
            elif name not in accounts[home].get("ca", {name}):
                place.problem(
                    f"is {show(home)}, where the CA is not registered",
                    f'add ca.{name} = {{ mode = "SNI_ONLY" }} to account.{home}, or remove it here',
                )


def _check_hub(fleet: Draft, root: KeyPosition) -> None:
    """The hub is a stage of the fleet, and all stages are in its partition (EventBridge guide, "Cross-account")."""
    hub, accounts = fleet.get("hub") or {}, fleet.get("account", {})
    if "account" not in hub:
        return
    place = root.at("hub")
    if hub["account"] not in accounts:
        place.at("account").problem(
            f"is {show(hub['account'])}, which is not an account of this file", suggest(hub["account"], accounts)
        )
        return
    regions = accounts[hub["account"]].get("regions", ())
    if hub.get("region") and regions and hub["region"] not in regions:
        place.at("region").problem(
            f"is {hub['region']}, where account.{hub['account']} has no stage", suggest(hub["region"], regions)
        )
    partitions = {partition_of(region) for account in accounts.values() for region in account.get("regions", ())}
    if len(partitions) > 1:
        place.at("account").problem(
            f"needs events to cross partitions ({', '.join(sorted(map(str, partitions)))}); EventBridge cannot do that",
            "make a fleet file for each partition, each with its own hub",
        )


def _check_key(written: str, place: KeyPosition, accounts: list[Draft]) -> None:
    match = KMS_KEY.fullmatch(written)
    if match is None:
        return
    regions = sorted({region for account in accounts for region in account["regions"]})
    ids = sorted({account["id"] for account in accounts})
    elsewhere = [one for one in regions if match["region"] not in ("<region>", one)]
    foreign = [one for one in ids if match["account"] not in ("<account>", one)]
    if elsewhere or foreign:
        place.problem(
            f"is in {match['region']} of {match['account']}, but stages in {', '.join(elsewhere + foreign)} use it",
            "write <region> and <account> in their place, with an alias of the same name everywhere; or give those "
            "accounts their own kms_key",
        )
    elif match["key"] and (len(ids) > 1 or (len(regions) > 1 and not match["everywhere"])):
        place.problem(
            "names one key by its id, but keys of several accounts or Regions have different ids",
            'give them an alias of the same name, and write "arn:<partition>:kms:<region>:<account>:alias/jitr"; or '
            "give each account its own kms_key",
        )


def _check_successions(fleet: Draft, root: KeyPosition) -> None:
    cas = fleet.get("ca", {})
    for name, ca in cas.items():
        place, predecessor = root.at("ca", name, "succeeds"), ca.get("succeeds")
        if predecessor is None:
            continue
        if predecessor not in cas:
            place.problem(f"is {show(predecessor)}, which is not a CA of this file", suggest(predecessor, cas))
            continue
        line = [name]
        while predecessor in cas and predecessor not in line:
            line.append(predecessor)
            predecessor = cas[predecessor].get("succeeds")
        if predecessor == name:
            place.problem(f"forms a circle: {', '.join(line)}, {name}", "remove it from the oldest of these CAs")


def _check_account_ids(fleet: Draft, root: KeyPosition) -> None:
    first: dict[str, str] = {}
    for name, account in fleet.get("account", {}).items():
        if "id" not in account:
            continue
        other = first.setdefault(account["id"], name)
        if other != name:
            root.at("account", name, "id").problem(
                f"is {show(account['id'])}, which is the id of account.{other} too",
                "correct one of them, or put the Regions of both into one account",
            )


def _check_roles(fleet: Draft, root: KeyPosition) -> None:
    for name, account in fleet.get("account", {}).items():
        match = ROLE_ARN.fullmatch(account.get("role_arn") or "")
        if match and match[1] != account.get("id", match[1]):
            root.at("account", name, "role_arn").problem(
                f"is a role of account {match[1]}, but the id is {account['id']}", "correct one of them"
            )


def _check_partitions(fleet: Draft, root: KeyPosition) -> None:
    for name, account in fleet.get("account", {}).items():
        partitions = {partition_of(region): region for region in account.get("regions", ())}
        if len(partitions) > 1:
            root.at("account", name, "regions").problem(
                f"are in several partitions ({', '.join(f'{key}: {value}' for key, value in partitions.items())})",
                "an AWS account is in one partition: write two accounts",
            )


def _check_endpoints(fleet: Draft, root: KeyPosition) -> None:
    """A table of endpoints has one for each Region of the account, so that no call goes to AWS by mistake."""
    for name, account in fleet.get("account", {}).items():
        urls, regions = account.get("endpoint_url"), account.get("regions")
        if not isinstance(urls, Mapping) or not regions:
            continue
        place = root.at("account", name, "endpoint_url")
        for region in urls:
            if region not in regions:
                place.at(region).problem("is not a Region of this account", suggest(region, regions))
        if missing := [region for region in regions if region not in urls]:
            place.problem(
                f"has no URL for {', '.join(missing)}",
                f'add {missing[0]} = "http://127.0.0.1:4566", or write one URL for all Regions',
            )


def _check_registrations(fleet: Draft, root: KeyPosition, *, proven: bool) -> None:
    for account, ca, registration in registrations(fleet):
        place = root.at("account", account, "ca", ca)
        if "ca" in fleet and ca not in fleet["ca"]:
            place.problem("names a CA that is not in this file", suggest(ca, fleet["ca"]))
        if not registration.keys() >= {"mode", "verification_certificate"}:
            continue
        verified = registration["verification_certificate"] is not None
        if proven and registration["mode"] is CertificateMode.DEFAULT and not verified:
            place.problem(
                "is in DEFAULT mode without a verification_certificate",
                "add one that the CA signed for this account's registration code, or use SNI_ONLY",
            )
        if registration["mode"] is CertificateMode.SNI_ONLY and verified:
            place.at("verification_certificate").problem(
                "is given in SNI_ONLY mode, in which AWS IoT accepts none", "remove it, or use DEFAULT"
            )
        registered_by = registration.get("registered_by") or fleet.get("ca", {}).get(ca, {}).get("registered_by")
        if registration.get("jitp") and registered_by is RegisteredBy.STACK:
            place.at("jitp").problem(
                "is true, but the stack registers the CA, and would register it without its provisioning template",
                'add registered_by = "jitrctl" here',
            )


def _check_single_default(fleet: Draft, root: KeyPosition) -> None:
    holders: dict[tuple[str, str], str] = {}
    for account, ca, registration in registrations(fleet):
        if registration.get("mode") is not CertificateMode.DEFAULT:
            continue
        for region in fleet["account"][account].get("regions", ()):
            holder = holders.setdefault((ca, region), account)
            if holder != account:
                root.at("account", account, "ca", ca, "mode").problem(
                    f"is DEFAULT in {region}, as in account.{holder}; AWS allows one account per CA and Region",
                    "use SNI_ONLY in one of them",
                )


def _check_origins_given(fleet: Draft, root: KeyPosition) -> None:
    """The fleet, and each account, has a CA or a source."""
    if "ca" in fleet and "registered" in fleet and not (fleet["ca"] or fleet["registered"]):
        root.at("ca").problem(
            "is missing",
            "add a table [ca.factory], or [registered.maker] for certificates that are registered without a CA",
        )
        return
    for name, account in fleet.get("account", {}).items():
        if "ca" in account and "registered" in account and not (account["ca"] or account["registered"]):
            root.at("account", name, "ca").problem(
                "is missing",
                'add ca.factory = { mode = "SNI_ONLY" } or registered.maker = {}, with the name of a CA or a source',
            )


def _check_cas_used(fleet: Draft, root: KeyPosition) -> None:
    if not all("ca" in account for account in fleet.get("account", {}).values()) or not fleet.get("account"):
        return  # an account that could not be read may use the CA
    cas = fleet.get("ca", {})
    used = {ca if ca in cas else guess_word(ca, cas) for _, ca, _ in registrations(fleet)}
    used |= {ca.get("succeeds") for ca in cas.values()}  # retired CAs, whose certificates are still replaced
    for name in cas:
        if name not in used:
            root.at("ca", name).problem(
                "is in no account", f'add ca.{name} = {{ mode = "SNI_ONLY" }} to an account, or remove the CA'
            )


def _check_sources(fleet: Draft, root: KeyPosition) -> None:
    """A source is taken up by an account, and has a name of its own: policies and metrics have the names of both."""
    sources, cas = fleet.get("registered") or {}, fleet.get("ca", {})
    used = set()
    for account, draft in fleet.get("account", {}).items():
        for name in draft.get("registered") or {}:
            used.add(name)
            if name not in sources and "registered" in fleet:
                place = root.at("account", account, "registered", name)
                place.problem("names a source that is not in this file", suggest(name, sources))
    for name in sources:
        if name in cas:
            root.at("registered", name).problem(
                f"has the name of ca.{name}", f"rename it, to {name}-registered for instance"
            )
        if name not in used and all("registered" in one for one in fleet.get("account", {}).values()):
            root.at("registered", name).problem(
                "is in no account", f"add registered.{name} = {{}} to an account, or remove the source"
            )
