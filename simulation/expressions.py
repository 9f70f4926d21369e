"""DynamoDB's expressions: condition, filter and key condition (`condition`), update (`update`) and projection.

A recursive descent parser turns each text, once, into closures that are cached. What the grammar does not know raises
ValidationException or NotModelled; nothing unknown is ever true. Values stay in DynamoDB's form, `{"S": "x"}`.
Reserved words are refused as names, as AWS does.

DynamoDB developer guide, "Using expressions in DynamoDB"; reserved_words.txt is the list on its page "Reserved words in
DynamoDB".
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from simulation.faults import ServiceError
from simulation.values import COMPARISONS, FUNCTIONS, ExpressionScope, PathParts, Value, equal, invalid, number, size

_RESERVED = frozenset((Path(__file__).parent / "reserved_words.txt").read_text(encoding="utf-8").split())
_TOKEN = re.compile(r"\s*(?:(?P<word>[#:]?[A-Za-z0-9_]+)|(?P<sign><>|<=|>=|[=<>+\-(),.\[\]]))")


Operand = Callable[[ExpressionScope], Value | None]
Condition = Callable[[ExpressionScope], bool]


@dataclass(slots=True)
class Update:
    """The clauses of an update expression; every right side is evaluated against the item as it was."""

    sets: list[tuple[PathParts, Operand]] = field(default_factory=list)
    removes: list[PathParts] = field(default_factory=list)
    adds: list[tuple[PathParts, str]] = field(default_factory=list)
    deletes: list[tuple[PathParts, str]] = field(default_factory=list)


@lru_cache(maxsize=1000)
def placeholders(text: str) -> frozenset[str]:
    """The #names and :values that an expression uses."""
    return frozenset(token for token in _tokens(text) if token[0] in "#:")


@lru_cache(maxsize=1000)
def words(text: str) -> frozenset[str]:
    """The attribute names and #names in a key condition."""
    known = {"AND", "BETWEEN", "BEGINS_WITH"}
    return frozenset(token for token in _tokens(text) if re.match(r"[#A-Za-z]", token) and token.upper() not in known)


@lru_cache(maxsize=1000)
def equalities(text: str) -> tuple[tuple[str, str], ...]:
    """Each name = :value in a key condition."""
    tokens = _tokens(text)
    triples = zip(tokens, tokens[1:], tokens[2:], strict=False)
    return tuple((name, value) for name, sign, value in triples if sign == "=" and value[0] == ":")


@lru_cache(maxsize=1000)
def condition(text: str) -> Condition:
    parser = _Parser(text)
    parsed = parser.condition()
    parser.end()
    return parsed


@lru_cache(maxsize=1000)
def update(text: str) -> Update:
    parser = _Parser(text)
    parsed = parser.update()
    parser.end()
    return parsed


@lru_cache(maxsize=1000)
def projection(text: str) -> tuple[PathParts, ...]:
    parser = _Parser(text)
    parsed = parser.several(parser.path)
    parser.end()
    return tuple(parsed)


def _tokens(text: str) -> list[str]:
    tokens, at = [], 0
    while text[at:].strip():
        match = _TOKEN.match(text, at)
        if match is None:
            raise invalid(f"Invalid expression: Syntax error near {text[at:]!r}")
        tokens.append(match["word"] or match["sign"])
        at = match.end()
    return tokens


class _Parser:
    """One expression's tokens, taken from the left."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = _tokens(text)
        self._at = 0

    def end(self) -> None:
        if self._at < len(self._tokens):
            raise self._error()

    def several(self, one: Callable[[], Any]) -> list[Any]:
        """A list with commas."""
        found = [one()]
        while self._takes(","):
            found.append(one())
        return found

    def path(self) -> PathParts:
        parts: list[str | int] = [self._name()]
        while True:
            if self._takes("."):
                parts.append(self._name())
            elif self._takes("["):
                parts.append(int(self._next()))
                self._expect("]")
            else:
                return tuple(parts)

    # Conditions, from the loosest binding to the tightest

    def condition(self) -> Condition:
        alternatives = [self._conjunction()]
        while self._takes_word("OR"):
            alternatives.append(self._conjunction())
        return alternatives[0] if len(alternatives) == 1 else lambda scope: any(one(scope) for one in alternatives)

    def _conjunction(self) -> Condition:
        conditions = [self._negation()]
        while self._takes_word("AND"):
            conditions.append(self._negation())
        return conditions[0] if len(conditions) == 1 else lambda scope: all(one(scope) for one in conditions)

    def _negation(self) -> Condition:
        if self._takes_word("NOT"):
            negated = self._negation()
            return lambda scope: not negated(scope)
        if self._takes("("):
            inner = self.condition()
            self._expect(")")
            return inner
        if self._peek() in FUNCTIONS and self._peek(1) == "(":
            return self._function()
        return self._comparison()

    def _function(self) -> Condition:
        function = FUNCTIONS[self._next()]
        self._expect("(")
        operands = self.several(self._operand)
        self._expect(")")
        return lambda scope: function(*(operand(scope) for operand in operands))

    def _comparison(self) -> Condition:
        left = self._operand()
        if self._takes_word("BETWEEN"):
            low = self._operand()
            if not self._takes_word("AND"):
                raise self._error()
            high = self._operand()
            at_least, at_most = COMPARISONS[">="], COMPARISONS["<="]
            return lambda scope: at_least(left(scope), low(scope)) and at_most(left(scope), high(scope))
        if self._takes_word("IN"):
            self._expect("(")
            choices = self.several(self._operand)
            self._expect(")")
            return lambda scope: any(equal(left(scope), choice(scope)) for choice in choices)
        holds = COMPARISONS.get(self._next())
        if holds is None:
            raise self._error()
        right = self._operand()
        return lambda scope: holds(left(scope), right(scope))

    def _operand(self) -> Operand:
        if (token := self._peek()).startswith(":"):
            self._next()
            return lambda scope: scope.values[token]
        if token == "size" and self._peek(1) == "(":  # noqa: S105 -- a function's name
            self._next()
            self._expect("(")
            measured = self._operand()
            self._expect(")")
            return lambda scope: size(measured(scope))
        path = self.path()
        return lambda scope: scope.read(path)

    # Updates

    def update(self) -> Update:
        parsed = Update()
        seen: set[str] = set()
        while self._at < len(self._tokens):
            clause = self._next().upper()
            if clause in seen:
                raise invalid(f'The "{clause}" section can only be used once in an update expression')
            seen.add(clause)
            match clause:
                case "SET":
                    parsed.sets = self.several(self._assignment)
                case "REMOVE":
                    parsed.removes = self.several(self.path)
                case "ADD":
                    parsed.adds = self.several(self._path_and_value)
                case "DELETE":
                    parsed.deletes = self.several(self._path_and_value)
                case _:
                    raise self._error()
        return parsed

    def _assignment(self) -> tuple[PathParts, Operand]:
        path = self.path()
        self._expect("=")
        value = self._set_operand()
        for sign in ("+", "-"):
            if self._takes(sign):
                return path, _arithmetic(sign, value, self._set_operand())
        return path, value

    def _set_operand(self) -> Operand:
        function = self._peek()
        if function in ("if_not_exists", "list_append") and self._peek(1) == "(":
            self._next()
            self._expect("(")
            first = self._set_operand()
            self._expect(",")
            second = self._set_operand()
            self._expect(")")
            return _if_not_exists(first, second) if function == "if_not_exists" else _list_append(first, second)
        return self._operand()

    def _path_and_value(self) -> tuple[PathParts, str]:
        path, value = self.path(), self._next()
        if not value.startswith(":"):
            raise self._error()
        return path, value

    # Tokens

    def _peek(self, ahead: int = 0) -> str:
        at = self._at + ahead
        return self._tokens[at] if at < len(self._tokens) else ""

    def _next(self) -> str:
        token = self._peek()
        if not token:
            raise self._error()
        self._at += 1
        return token

    def _takes(self, sign: str) -> bool:
        if self._peek() != sign:
            return False
        self._at += 1
        return True

    def _takes_word(self, word: str) -> bool:
        if self._peek().upper() != word:
            return False
        self._at += 1
        return True

    def _expect(self, sign: str) -> None:
        if not self._takes(sign):
            raise self._error()

    def _name(self) -> str:
        name = self._next()
        if not re.fullmatch(r"#\w+|[A-Za-z]\w*", name):
            raise self._error()
        if name.upper() in _RESERVED:
            raise invalid(f"Attribute name is a reserved keyword; reserved keyword: {name}")
        return name

    def _error(self) -> ServiceError:
        return invalid(f'Invalid expression: Syntax error; token: "{self._peek()}", in: {self._text!r}')


def _arithmetic(sign: str, left: Operand, right: Operand) -> Operand:
    def compute(scope: ExpressionScope) -> Value:
        one, other = left(scope), right(scope)
        if one is None or other is None or "N" not in one or "N" not in other:
            raise invalid("An operand in the update expression has an incorrect data type, or does not exist")
        return {"N": str(number(one) + number(other) if sign == "+" else number(one) - number(other))}

    return compute


def _if_not_exists(path: Operand, otherwise: Operand) -> Operand:
    def choose(scope: ExpressionScope) -> Value | None:
        found = path(scope)
        return found if found is not None else otherwise(scope)

    return choose


def _list_append(left: Operand, right: Operand) -> Operand:
    def append(scope: ExpressionScope) -> Value:
        one, other = left(scope), right(scope)
        if one is None or other is None or "L" not in one or "L" not in other:
            raise invalid("An operand in the update expression has an incorrect data type, or does not exist")
        return {"L": [*one["L"], *other["L"]]}

    return append
