"""Refuses regular expressions that can take too long on some value.

Python's matcher backtracks: if a text can be read in many ways, it tries all of them before it fails. A device could
send a name that keeps the function busy until its timeout, while other devices wait. So the ways are counted before a
pattern is deployed:

- The pattern becomes an automaton whose states are its characters (Glushkov's construction), with one edge per way
  from a character to the next: `(a+)+` has two from `a` to `a`, by the inner and by the outer repetition.
- Two different paths that begin and end in the same state, and read the same text, can be repeated; each round doubles
  the number of ways. Such a pattern is refused.
- In any other pattern a text has at most one path through each loop, and the only choice is when to leave the loop.
  Values have a bounded length, so the number of ways is bounded too; above MOST_WAYS the pattern is refused.

The analysis is conservative: it refuses some harmless patterns, which can be written in another way. It refuses
look-arounds and back-references, which no automaton has.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from itertools import product
from re import _compiler, _constants, _parser  # type: ignore[attr-defined] # what re itself uses, since Python 3.11
from typing import Any, TypeVar

from jitr.admission.naming import MATCHED_LENGTH

MOST_WAYS = 1_000_000  # of reading one value: two loops that may end anywhere; some tenths of a second
MOST_STATES = 250
_MOST_PAIRS = 500_000  # of edges that are compared

# Represents all characters: ASCII, and others of each kind that a character class distinguishes.
_ALPHABET = "".join(map(chr, range(128))) + "äßİŉ٣²\u200b\u2003\u2028\u212a\ud800\U0001f600"

_Node = TypeVar("_Node", bound=Hashable)
_Graph = dict[_Node, set[_Node]]


class UnboundedPattern(Exception):
    """A pattern can take too long; the text says why, and continues a sentence about the pattern."""


@dataclass(frozen=True, slots=True)
class _Part:
    """A part of a pattern: its first and last states with their numbers of ways, and the ways in which it is empty."""

    first: Counter[int]
    last: Counter[int]
    empty: int


_NOTHING = _Part(Counter(), Counter(), 1)


def refuse_unbounded(pattern: str) -> None:
    """Refuse a pattern (one that compiles) that can take too long on some value.

    Raises UnboundedPattern.
    """
    try:
        automaton = _Automaton(pattern)
        automaton.refuse_two_ways_round()
        automaton.refuse_many_ways()
    except RecursionError as error:
        raise UnboundedPattern("is nested too deeply to be analysed") from error


class _Automaton:
    """The states of a pattern, and the edges between them; state 0 is before the first character."""

    def __init__(self, pattern: str) -> None:
        parsed = _parser.parse(pattern)
        self._parsed = parsed
        self._flags = parsed.state.flags
        self._characters: list[frozenset[str]] = [frozenset()]
        self._edges: Counter[tuple[int, int]] = Counter()
        whole = self._sequence(list(parsed))
        self._join(Counter({0: 1}), whole.first)
        self._next: _Graph[int] = defaultdict(set)
        for begin, end in self._edges:
            self._next[begin].add(end)
        self._loops = _components(self._next)

    def refuse_two_ways_round(self) -> None:
        """Compare pairs of paths that read the same text, and refuse two that separate and meet again."""
        count = sum(len(ends) for ends in self._next.values())
        if count * count > _MOST_PAIRS:
            raise UnboundedPattern("is too long to be analysed")
        pairs: _Graph[tuple[int, int]] = defaultdict(set)
        for (one, one_next), (other, other_next) in product(self._edges, repeat=2):
            if self._characters[one_next] & self._characters[other_next]:
                pairs[one, other].add((one_next, other_next))
        components = _components(pairs)
        together = {components[pair] for pair in components if pair[0] == pair[1] and _is_loop(pair, pairs, components)}
        apart = {components[pair] for pair in components if pair[0] != pair[1]}
        twice = any(ways > 1 and self._loops[begin] == self._loops[end] for (begin, end), ways in self._edges.items())
        if twice or together & apart:
            raise UnboundedPattern("can match one text in a number of ways that grows without limit with its length")

    def refuse_many_ways(self) -> None:
        """Multiply the choices along every path from loop to loop."""
        factors: dict[int, int] = defaultdict(lambda: 1)
        for state, ends in self._next.items():
            component = self._loops[state]
            factors[component] = max(factors[component], self._choices(state, ends))
        onward: _Graph[int] = defaultdict(set)
        for begin, end in self._edges:
            if self._loops[begin] != self._loops[end]:
                onward[self._loops[begin]].add(self._loops[end])
        ways = _greatest_product(self._loops.get(0, 0), factors, onward)
        if ways > MOST_WAYS:
            raise UnboundedPattern(f"can match one text of {MATCHED_LENGTH} characters in more than {MOST_WAYS} ways")

    def _choices(self, state: int, ends: set[int]) -> int:
        """The number of ways from a state over one character; a loop that continues can be left at each round."""
        most = 1
        for character in _ALPHABET:
            ways = {end: self._edges[state, end] for end in ends if character in self._characters[end]}
            staying = sum(count for end, count in ways.items() if self._loops[end] == self._loops[state])
            leaving = sum(ways.values()) - staying
            most = max(most, leaving * MATCHED_LENGTH if staying else leaving)
        return most

    def _sequence(self, items: list[Any]) -> _Part:
        whole = _NOTHING
        for kind, value in items:
            whole = self._concatenate(whole, self._build_part(kind, value))
        return whole

    def _build_part(self, kind: Any, value: Any) -> _Part:
        match str(kind):
            case "LITERAL" | "NOT_LITERAL" | "ANY" | "IN" | "CATEGORY":
                return self._character(kind, value)
            case "AT":
                return _NOTHING  # a boundary only removes ways
            case "SUBPATTERN":
                _, added, removed, items = value
                before, self._flags = self._flags, (self._flags | added) & ~removed
                part = self._sequence(list(items))
                self._flags = before
                return part
            case "ATOMIC_GROUP":
                return self._sequence(list(value))
            case "BRANCH":
                return self._alternate([self._sequence(list(items)) for items in value[1]])
            case "MAX_REPEAT" | "MIN_REPEAT" | "POSSESSIVE_REPEAT":
                least, greatest, items = value
                return self._repeat(lambda: self._sequence(list(items)), least, greatest)
        raise UnboundedPattern("has a look-around or a back-reference, which cannot be analysed")

    def _character(self, kind: Any, value: Any) -> _Part:
        if len(self._characters) > MOST_STATES:
            raise UnboundedPattern("is too long to be analysed")
        single = _parser.SubPattern(self._parsed.state, [(kind, value)])
        matches = _compiler.compile(single, self._flags).fullmatch
        self._characters.append(frozenset(filter(matches, _ALPHABET)))
        state = len(self._characters) - 1
        return _Part(Counter({state: 1}), Counter({state: 1}), 0)

    def _repeat(self, part: Callable[[], _Part], least: int, greatest: Any) -> _Part:
        if least > MOST_STATES:
            raise UnboundedPattern("is too long to be analysed")
        unlimited = greatest is _constants.MAXREPEAT or greatest > MATCHED_LENGTH
        whole = _NOTHING
        for _ in range(max(least - 1, 0) if unlimited else least):
            whole = self._concatenate(whole, part())
        if unlimited:
            body = part()
            self._refuse_empty(body)
            self._join(body.last, body.first)
            return self._concatenate(whole, _Part(body.first, body.last, 0 if least else 1))
        optional = _NOTHING
        for _ in range(greatest - least):
            body = part()
            if greatest > 1:
                self._refuse_empty(body)
            # From the inside outwards, (x(x(x)?)?)?: one way for each number of rounds.
            whole_of_it = self._concatenate(body, optional)
            optional = _Part(whole_of_it.first, whole_of_it.last, 1)
        return self._concatenate(whole, optional)

    def _refuse_empty(self, body: _Part) -> None:
        if body.empty:
            raise UnboundedPattern("repeats a part that can be empty")

    def _alternate(self, parts: Iterable[_Part]) -> _Part:
        whole = _Part(Counter(), Counter(), 0)
        for part in parts:
            whole = _Part(whole.first + part.first, whole.last + part.last, whole.empty + part.empty)
        return whole

    def _concatenate(self, one: _Part, other: _Part) -> _Part:
        self._join(one.last, other.first)
        return _Part(
            one.first + _multiply(other.first, one.empty),
            other.last + _multiply(one.last, other.empty),
            one.empty * other.empty,
        )

    def _join(self, ends: Counter[int], beginnings: Counter[int]) -> None:
        for (end, ways), (beginning, more) in product(ends.items(), beginnings.items()):
            self._edges[end, beginning] += ways * more


def _multiply(states: Counter[int], ways: int) -> Counter[int]:
    return Counter({state: count * ways for state, count in states.items()}) if ways else Counter()


def _components(graph: _Graph[_Node]) -> dict[_Node, int]:
    """Number each node's strongly connected component (Kosaraju)."""
    backwards: _Graph[_Node] = defaultdict(set)
    for begin, ends in graph.items():
        for end in ends:
            backwards[end].add(begin)
    order: list[_Node] = []
    seen: set[_Node] = set()
    for start in {*graph, *backwards}:
        stack = [] if start in seen else [(start, iter(graph.get(start, ())))]
        seen.add(start)
        while stack:
            node, ahead = stack[-1]
            following = next((end for end in ahead if end not in seen), None)
            if following is None:
                order.append(stack.pop()[0])
            else:
                seen.add(following)
                stack.append((following, iter(graph.get(following, ()))))
    components: dict[_Node, int] = {}
    for number, start in enumerate(reversed(order)):
        waiting = [start]
        while waiting:
            node = waiting.pop()
            if node not in components:
                components[node] = number
                waiting.extend(backwards[node])
    return components


def _is_loop(node: _Node, graph: _Graph[_Node], components: dict[_Node, int]) -> bool:
    """Whether a path leads from the node back to it."""
    return any(components[end] == components[node] for end in graph.get(node, ()))


def _greatest_product(start: int, factors: Mapping[int, int], onward: _Graph[int]) -> int:
    known: dict[int, int] = {}

    def product_from(component: int) -> int:
        if component not in known:
            known[component] = factors[component] * max(
                (product_from(following) for following in onward.get(component, ())), default=1
            )
        return known[component]

    return product_from(start)
