"""Execution environments of one simulated account that reserve turns of one schedule."""

from jitr.pacing.schedule import PACE, Need
from jitr.pacing.turns import TURNS_CONFIG, Turns
from simulation import Aws, SimulatedAccount

TABLE = "registry"
RATE = 10.0


class Fleet:
    """Execution environments of one account, each with its own idea of the time."""

    def __init__(self) -> None:
        self.aws = Aws()
        self.account: SimulatedAccount = self.aws.account("111111111111")
        self.table = self.account.dynamodb.create(TABLE, partition="id")
        self.unavailable = 0

    def environment(self, *, environments: int = 8, skew: float = 0.0) -> Turns:
        return Turns(
            self.account.client("dynamodb", config=TURNS_CONFIG),
            TABLE,
            per_second=RATE,
            environments=environments,
            when_unavailable=self.note_unavailable,
            clock=lambda: self.now + skew,
            sleep=self.aws.clock.sleep,
        )

    def look(self, turns: Turns) -> Turns:
        """What the recall does."""
        item = self.table.items.get((PACE,), {})
        turns.see({name: next(iter(value.values())) for name, value in item.items() if name != "id"})
        return turns

    @property
    def now(self) -> float:
        return self.aws.clock.now().timestamp()

    def note_unavailable(self) -> None:
        self.unavailable += 1


def reserve(fleet: Fleet, turns: Turns, number: int, need: Need = Need.NEW) -> list[float]:
    """When the turns are, in seconds from now."""
    return [round(turn - fleet.now, 3) for turn in fleet.look(turns).reserve({need: number})]
