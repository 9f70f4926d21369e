"""Walks through the schedules of a few acts that meet: who makes which call when, and who dies where.

Each act is a task that pauses before every single AWS call. A schedule says how many calls an act makes before it
pauses ("A9") or dies ("A9!"), one after the other; what is left then runs to its end, the first act first. So "A9 B8!"
lets A make nine calls, then B eight, whereupon B dies; then A goes on to its end. A cut is a switch; every schedule
with so many of them is played, save those that are the same as another one:

- A pause before a call that has nothing to do with what the others do meanwhile is the pause after that call: calls on
  different things can be exchanged (`_meets`; Mazurkiewicz's traces). Not so for threads of one process.
- A death after a call that only reads is the death before it.

After each schedule the world settles and is checked. What was settled from the very same state before is not settled
again (`ExploredWorld.state`).

    .venv/bin/python -m tests.support.survival.explorer PAIR "SCHEDULE"    replays one, and tells of it
    .venv/bin/python -m tests.support.survival.explorer PAIR 2             explores one with two switches
    .venv/bin/python -m tests.support.survival.explorer PAIR first         up to what breaks a promise
"""

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NoReturn

from simulation import Call, DeadlinePassed, Died, Fault, Moment
from tests.support.survival.explored_world import ExploredWorld
from tests.support.survival.footprints import footprint
from tests.support.survival.one_thread import Act
from tests.support.survival.schedules import END, LETTERS, Cut, Schedule, parse

if TYPE_CHECKING:
    from simulation.clock import Task

# Longer than this no process stands still between two statements: what waits for its turn looks again
# (test_retirement.py), and `register` is at its deadline by then. One that was paused for longer dies.
FROZEN = 60.0


@dataclass(frozen=True, slots=True)
class Pair:
    """A few acts that meet, and how it came to that."""

    name: str
    sentence: str
    prepare: Callable[[], tuple[ExploredWorld, Mapping[str, Act]]]  # a fresh world, and the acts by name
    last_death: bool = False  # one death more than there are switches: what then ends by itself
    fault: Callable[[Call, Moment], Fault | None] = lambda _call, _moment: None
    unnamed: bool = False  # AWS says of no certificate whose it is, from when the acts meet
    process: frozenset[int] = frozenset()  # acts that are threads of one process: they die together

    def player(self, schedule: "Schedule") -> "Player":
        """What plays a schedule of these acts in a fresh world."""
        world, acts = self.prepare()
        if self.unnamed:
            world.aws.undocumented.hide_sni_only_cas()
        return Player(world, acts, schedule, self.fault, process=self.process)


@dataclass(frozen=True, slots=True)
class Step:
    """One call that was made."""

    who: int
    text: str
    reads: frozenset[str]
    writes: frozenset[str]


@dataclass(slots=True)
class Run:
    """One schedule, played."""

    schedule: Schedule
    acts: tuple[str, ...]
    steps: list[Step] = field(default_factory=list)
    segments: list[tuple[int, int]] = field(default_factory=list)  # who, and the index of the first step
    broken: list[tuple[str, str]] = field(default_factory=list)

    def __str__(self) -> str:
        return " ".join(map(str, self.schedule)) or "(no switch)"

    def told(self, pair: Pair) -> str:
        """The schedule, for somebody who wants to understand it."""
        lines = [f'{pair.name}, schedule "{self}": {pair.sentence}']
        lines += [f"  {LETTERS[who]} is {name}" for who, name in enumerate(self.acts)]
        cuts = list(self.schedule)
        starts = [*(start for _, start in self.segments[1:]), len(self.steps)]
        for (who, start), end in zip(self.segments, starts, strict=True):
            if calls := [step.text for step in self.steps[start:end]]:
                lines.append(f"  {LETTERS[who]}: {', '.join(calls)}")
            cut = cuts.pop(0) if cuts else None
            how = "ends" if cut is None or cut.calls == END else "dies" if cut.dies else "pauses"
            lines.append(f"     {LETTERS[who]} {how}")
        lines += [f"  BROKEN ({name}): {text}" for name, text in self.broken]
        return "\n".join([*lines, f'  again: python -m tests.support.survival.explorer {pair.name} "{self}"'])


def _no_fault(_call: Call, _moment: Moment) -> None:
    """Nothing goes wrong."""


class Player:
    """Plays one schedule of acts in a world."""

    def __init__(
        self,
        world: ExploredWorld,
        acts: Mapping[str, Act],
        schedule: Schedule,
        fault: Callable[[Call, Moment], Fault | None] = _no_fault,
        *,
        process: frozenset[int] = frozenset(),
    ) -> None:
        self.world = world
        self._process = process
        self._fault = fault
        self._clock = self.world.clock
        self.run = Run(schedule, tuple(acts))
        self._tasks = [self._clock.task(self._whole(act)) for act in acts.values()]
        self._calls = [0] * len(acts)
        self._until: list[int | None] = [None] * len(acts)
        self._dead: set[int] = set()
        self._running: int = 0
        self._last: dict[int, Call] = {}

    def play(self) -> Run:
        self.world.aws.fault = self._hook
        try:
            for cut in self.run.schedule:
                self._until[cut.who] = cut.calls
                self._go_on(cut.who)
                if cut.dies:
                    self._kill(cut.who)
            while not all(task.has_ended for task in self._tasks):  # a thread that joins another one has to wait for it
                for who in self._left():
                    self._until[who] = None
                    self._go_on(who)
        finally:
            self.world.aws.fault = self.world.watch
            self._clock.close()
        self.world.watch.look()
        self.run.broken = list(self.world.watch.broken)
        return self.run

    def _kill(self, who: int) -> None:
        """Let an act die, and with it the threads of its process."""
        dying = [who, *sorted(self._process - {who})] if who in self._process else [who]
        self._dead.update(dying)
        for one in dying:
            self._go_on(one)

    def _left(self) -> list[int]:
        """Who is left: not the one that was cut last, if there is another."""
        last = self.run.schedule[-1].who if self.run.schedule else None
        everybody = list(range(len(self._tasks)))
        return [one for one in everybody if one != last] + [one for one in everybody if one == last]

    def _go_on(self, who: int) -> None:
        task: Task = self._tasks[who]
        if task.has_ended:
            return
        if who not in self._dead:
            self.run.segments.append((who, len(self.run.steps)))
        self._running = who
        self._clock.go_on(task)

    def _whole(self, act: Act) -> Act:
        def run() -> None:
            with suppress(Died, DeadlinePassed):
                act()

        return run

    def _hook(self, call: Call, moment: Moment) -> Fault | None:
        who = self._running
        if moment == "before":
            self._pause(who, call)
            self._calls[who] += 1
            reads, writes = footprint(call)
            self.run.steps.append(Step(who, self._text(call), reads, writes))
            self._last[who] = call
        self.world.watch(call, moment)
        return self._fault(call, moment)

    def _pause(self, who: int, call: Call) -> None:
        """Pause before a call, if the schedule says so; and die there.

        Raises Died, DeadlinePassed.
        """
        if self._until[who] != self._calls[who] and who not in self._dead:
            return
        try:
            if who not in self._dead:
                self._stand_still(who, call)
            if who in self._dead:
                self._die()
        except (Died, DeadlinePassed):
            if who in self._last:
                self.world.watch.died(self._last[who])
            raise

    def _stand_still(self, who: int, call: Call) -> None:
        parked_at = self._clock.monotonic()
        self._clock.park()
        if call.operation == "UpdateCertificate" and self._clock.monotonic() - parked_at > FROZEN:
            self._dead.add(who)

    def _die(self) -> NoReturn:
        raise Died

    def _text(self, call: Call) -> str:
        parameters = call.parameters
        about = parameters.get("newStatus") or ""
        if "certificateId" in parameters:
            about = f"{self.world.label(parameters['certificateId'])} {about}".strip()
        elif "thingName" in parameters:
            about = parameters["thingName"]
        again = f" (attempt {call.attempt})" if call.attempt > 1 else ""
        return f"{call.operation} {about}".strip() + again


def _meets(one: Step, other: Step) -> bool:
    return bool(one.writes & (other.reads | other.writes - {"items"}) - {"items"} or other.writes & one.reads) or (
        "items" in one.writes and "items" in other.reads
    )


def _meanwhile(run: Run, who: int) -> list[Step]:
    """What the others do from the last cut until this one goes on."""
    steps: list[Step] = []
    for number in range(len(run.schedule), len(run.segments)):
        if run.segments[number][0] == who:
            break
        start = run.segments[number][1]
        end = run.segments[number + 1][1] if number + 1 < len(run.segments) else len(run.steps)
        steps += run.steps[start:end]
    return steps


# Walking


@dataclass(slots=True)
class Explored:
    """What became of a pair."""

    pair: Pair
    played: int = 0
    settled: int = 0
    seconds: float = 0.0  # of the processor
    broken: dict[str, tuple[int, Run]] = field(default_factory=dict)  # by promise: how many schedules, the first one

    def note(self, run: Run) -> None:
        for name in dict.fromkeys(name for name, _ in run.broken):
            number, first = self.broken.get(name, (0, run))
            self.broken[name] = (number + 1, min(first, run, key=lambda one: (len(one.schedule), len(str(one)))))

    def told(self) -> str:
        lines = [
            f"{self.pair.name}: {self.played} schedules played, {self.settled} ends checked, {self.seconds:.1f} s",
            *(
                f"broke {name!r} in {number} schedules, for example\n{run.told(self.pair)}"
                for name, (number, run) in self.broken.items()
            ),
        ]
        return "\n".join(lines)


class _FoundFirst(Exception):
    """A schedule broke a promise, and no other one is asked for."""


class Explorer:
    """Plays every schedule of a pair with so many switches; or only until one breaks a promise."""

    def __init__(self, pair: Pair, switches: int, *, only_first: bool = False) -> None:
        self._pair = pair
        self._switches = switches
        self._only_first = only_first
        self._ends: dict[object, list[tuple[str, str]]] = {}
        self.explored = Explored(pair)

    def explore(self) -> Explored:
        began = time.process_time()
        # Who goes first is no switch.
        with suppress(_FoundFirst):
            for schedule in ((), (Cut(0, 0),)):
                self._walk(self._play(schedule), self._switches, last_death=self._pair.last_death)
        self.explored.seconds = time.process_time() - began
        return self.explored

    def _walk(self, run: Run, switches: int, *, last_death: bool) -> None:
        """Play what differs from a run by one more cut, in what ran there uncut; and so on."""
        uncut = run.segments[len(run.schedule) :]
        if switches and len(uncut) > 1:
            self._pause(run, switches - 1, last_death=last_death)
        if switches or last_death:
            for number in range(len(uncut) if switches else 1):
                for schedule in self._deaths(run, number):
                    died = self._play(schedule)
                    if switches > 1:
                        self._walk(died, switches - 1, last_death=False)

    def _pause(self, run: Run, switches: int, *, last_death: bool) -> None:
        """Pause whoever goes on first, before each of its calls; from the last one, as then what is the same shows."""
        number = len(run.schedule)
        who, start = run.segments[number]
        end = run.segments[number + 1][1]
        before = sum(step.who == who for step in run.steps[:start])
        meanwhile = run.steps[end:]
        for index in range(end - 1, start, -1):
            # Threads share memory, of which calls say nothing: no pause of theirs is the same as another one.
            if not self._pair.process and not any(_meets(run.steps[index], other) for other in meanwhile):
                continue
            paused = self._play((*run.schedule, Cut(who, before + index - start)))
            self._walk(paused, switches, last_death=last_death)
            meanwhile = _meanwhile(paused, who)

    def _deaths(self, run: Run, number: int) -> Iterator[Schedule]:
        """Deaths in an uncut segment, after each call that left something behind; those before it ran to their ends."""
        uncut = run.segments[len(run.schedule) :]
        who, start = uncut[number]
        end = uncut[number + 1][1] if number + 1 < len(uncut) else len(run.steps)
        before = sum(step.who == who for step in run.steps[:start])
        ended = tuple(Cut(one, END) for one, _ in uncut[:number])
        for index in range(start + 1, end):
            if run.steps[index - 1].writes:
                yield (*run.schedule, *ended, Cut(who, before + index - start, dies=True))

    def _play(self, schedule: Schedule) -> Run:
        player = self._pair.player(schedule)
        run = player.play()
        self.explored.played += 1
        if not run.broken:
            state = player.world.state()
            if state not in self._ends:
                self.explored.settled += 1
                player.world.settle()
                self._ends[state] = list(player.world.watch.broken)
            run.broken = self._ends[state]
        if run.broken:
            self.explored.note(run)
            if self._only_first:
                raise _FoundFirst
        return run


def replay(pair: Pair, text: str) -> str:
    """Play one schedule to its end, and tell of it."""
    player = pair.player(parse(text))
    run = player.play()
    if not run.broken:
        player.world.settle()
        run.broken = list(player.world.watch.broken)
    return run.told(pair)


def _pairs() -> Iterator[Pair]:
    from tests.support.survival.pairs import ALL_PAIRS  # noqa: PLC0415 -- they need what is here

    yield from ALL_PAIRS


def main(arguments: list[str]) -> None:
    pair = next(one for one in _pairs() if one.name == arguments[0])
    if len(arguments) > 1 and not arguments[1].isdigit() and arguments[1] != "first":
        sys.stdout.write(replay(pair, arguments[1]) + "\n")
        return
    if arguments[1:] != ["first"]:
        sys.stdout.write(Explorer(pair, int(arguments[1]) if len(arguments) > 1 else 2).explore().told() + "\n")
        return
    for switches in (1, 2):  # the shortest schedule is the easiest to read
        explored = Explorer(pair, switches, only_first=True).explore()
        if explored.broken:
            break
    sys.stdout.write(explored.told() + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
