"""The pairs of acts around an import of a certificate without its CA; their schedules are explored."""

from collections.abc import Callable
from contextlib import suppress

from botocore.exceptions import ClientError

from jitr.aws.iot import AwsIot
from jitr.aws.queues import EventToSend, send_events
from jitr.aws.rate_limit import Unpaced
from jitr.errors import JitrError
from jitr.import_order import ImportOrder
from jitr.store.registry import Registry
from jitr.verdicts import OperatorAction
from jitrctl.device.certificate_import import CertificateImport
from simulation import Leaf
from simulation.deployment import source_rules
from tests.support.survival.explored_world import ExploredWorld, Prepared
from tests.support.survival.explorer import Pair
from tests.support.survival.one_thread import Act

ANN, BOB = "operator-ann", "operator-bob"
SOURCE = source_rules(overlap=3600)


def import_device(world: ExploredWorld, name: str, leaf: Leaf, *, with_ca: bool = False) -> Act:
    """Import a certificate as `jitrctl device import` does, and let an environment take the message.

    An import that is cut off is run again at the end.
    """
    client, certificate_id = world.account.client("iot", caller=name), leaf.certificate_id
    registry = Registry(world.account.client("dynamodb", caller=name), world.deployment.settings.registry_table)
    iot = AwsIot(client, Unpaced(), clock=world.clock.now, rules=world.deployment.rules)
    ca = world.deployment.rules.cas[0] if with_ca else None
    sqs, settings = world.account.client("sqs", caller=name), world.deployment.settings

    def order() -> None:
        seen = registry.recall([certificate_id])[certificate_id]
        if seen.is_denied or (seen.decision and not seen.import_order):
            return  # the plan leaves it out
        now = world.clock.now()
        given = ImportOrder(source=(ca or SOURCE).certificate_id, by=f"arn:{name}", at=now)
        running = CertificateImport(client, iot, registry, ca_pem=ca.certificate_pem if ca else None)
        if running.register(certificate_id, leaf.pem, given, seen) is None:
            world.clock.sleep(2)  # a status that is set within a second is not told from the registration's
            event = EventToSend(certificate_id=certificate_id, ca_certificate_id=None, registered_at=None)
            url, account_id = settings.registrations_queue_url, settings.account_id
            send_events(sqs, url, [event], account_id=account_id, now=now)

    def run() -> None:
        done = False
        try:
            order()
            done = True
            world._take(f"register-{name}", world.deployment.registrations.receive(10))()
        except (JitrError, ClientError):
            pass
        finally:
            if not done:
                world.unfinished.append(import_device(world, name, leaf, with_ca=with_ca))

    return run


def _connect(world: ExploredWorld, leaf: Leaf) -> Act:
    """The device connects, and an environment takes the event, if it was registered by that."""

    def run() -> None:
        world.connect(leaf)
        if messages := world.deployment.registrations.receive(10):
            world._take("register-other", messages)()

    return run


def _meeting(other: Callable[[ExploredWorld, Leaf], Act], *, with_ca: bool = False) -> Callable[[], Prepared]:
    """An import, and somebody else."""

    def prepare() -> Prepared:
        world = ExploredWorld(home={})
        world.sources = (SOURCE,)
        world.deploy()
        world.deployment._prepare(SOURCE)
        world.watch.deployed.append(world.deployment.rules)
        leaf = world.device("device")
        imports = import_device(world, ANN, leaf, with_ca=with_ca)
        return world, {"ann imports `device`": imports, "the other": other(world, leaf)}

    return prepare


def _same_name(world: ExploredWorld, _leaf: Leaf) -> Act:
    return world.look("register-other", world.device("second", begins=-2))


def _by_hand(what: str) -> Callable[[ExploredWorld, Leaf], Act]:
    """The console, which has nothing to do with what is not registered yet."""

    def act(world: ExploredWorld, leaf: Leaf) -> Act:
        change = world.console(leaf, what)

        def run() -> None:
            with suppress(ClientError):
                change()

        return run

    return act


IMPORTS = (
    Pair("import-and-connect", "an import, and the device connects meanwhile", _meeting(_connect)),
    Pair("import-twice", "two import the same", _meeting(lambda world, leaf: import_device(world, BOB, leaf))),
    Pair("import-and-sweep", "an import, and the sweep", _meeting(lambda world, _leaf: world.sweep())),
    Pair(
        "import-and-deny",
        "an import, and a denial",
        _meeting(lambda world, leaf: world.take_away(BOB, leaf, OperatorAction.DENIED)),
    ),
    Pair(
        "import-and-revoke",
        "an import, and a revocation",
        _meeting(lambda world, leaf: world.take_away(BOB, leaf, OperatorAction.REVOKED)),
    ),
    Pair("import-and-name", "an import, and another certificate of its name", _meeting(_same_name)),
    *(
        Pair(f"import-and-console-{what.lower()}", f"an import, and the console: {what}", _meeting(_by_hand(what)))
        for what in ("INACTIVE", "REVOKED", "delete")
    ),
    Pair("import-with-ca-and-connect", "an import under its CA, and a CONNECT", _meeting(_connect, with_ca=True)),
    Pair(
        "import-with-ca-twice",
        "two import the same under its CA",
        _meeting(lambda world, leaf: import_device(world, BOB, leaf, with_ca=True), with_ca=True),
    ),
    # Without the sweep: it gives up an import that pauses for five minutes between its order and its registration, and
    # a CA's certificate then stays INACTIVE, as found; the import says so.
    Pair(
        "import-with-ca-and-revoke",
        "an import under its CA, and a revocation",
        _meeting(lambda world, leaf: world.take_away(BOB, leaf, OperatorAction.REVOKED), with_ca=True),
    ),
    Pair(
        "import-with-ca-and-console-inactive",
        "an import under its CA, and the console: INACTIVE",
        _meeting(_by_hand("INACTIVE"), with_ca=True),
    ),
)
