"""Datadog's search language, as far as it is used here: words, tags, attributes, AND, OR, NOT and brackets."""

import re
from collections.abc import Callable, Mapping
from fnmatch import translate
from typing import Any, NamedTuple

TOKEN = re.compile(r'\s*(?:([()])|([^\s():"]+:)?(?:"((?:[^"\\]|\\.)*)"|((?:[^\s()"\\]|\\.)+))?)')
WORD = re.compile(r"\w+")


class SearchError(Exception):
    """A query that cannot be read."""


class Found(NamedTuple):
    """What is searched: reserved fields and attributes by name, tags, and the text of the message."""

    fields: Mapping[str, str]
    attributes: Mapping[str, Any]
    tags: frozenset[str]
    message: str


Match = Callable[[Found], bool]


class Parser:
    """Reads a query: words beside each other must all be there."""

    def __init__(self, query: str) -> None:
        self.tokens = list(tokens(query))

    def whole(self) -> Match:
        """The whole query; an empty one and `*` match everything."""
        if not self.tokens:
            return lambda _: True
        match = self.either("")
        if self.tokens:
            raise SearchError(f"unexpected {self.tokens[0]}")
        return match

    def either(self, key: str) -> Match:
        """One or more parts with OR between them."""
        parts = [self.all_of(key)]
        while self.tokens and self.tokens[0] == ("", "OR"):
            self.tokens.pop(0)
            parts.append(self.all_of(key))
        return lambda found: any(part(found) for part in parts)

    def all_of(self, key: str) -> Match:
        """One or more parts that must all match."""
        parts = [self.part(key)]
        while self.tokens and self.tokens[0] not in (("", "OR"), ("", ")")):
            if self.tokens[0] == ("", "AND"):
                self.tokens.pop(0)
            parts.append(self.part(key))
        return lambda found: all(part(found) for part in parts)

    def part(self, key: str) -> Match:
        """A word, a bracket, or the opposite of one."""
        if not self.tokens:
            raise SearchError("it ends too early")
        name, value = self.tokens.pop(0)
        if (name, value) == ("", "NOT") or (not name and value == "-"):
            opposite = self.part(key)
            return lambda found: not opposite(found)
        negated = name.startswith(("-", "!")) or (not name and value.startswith("-"))
        name, value = (name[1:], value) if negated and name else (name, value[1:] if negated else value)
        match = self.bracket(name or key) if value == "(" else term(name or key, value)
        return (lambda found: not match(found)) if negated else match

    def bracket(self, key: str) -> Match:
        """What is within brackets."""
        match = self.either(key)
        if not self.tokens or self.tokens.pop(0) != ("", ")"):
            raise SearchError("a bracket is not closed")
        return match


def tokens(query: str) -> list[tuple[str, str]]:
    """Pairs of a key, if any, and a word or a bracket."""
    found: list[tuple[str, str]] = []
    place, rest = 0, query.rstrip()
    while place < len(rest):
        match = TOKEN.match(rest, place)
        if not match or match.end() == place:
            raise SearchError(f"unable to parse {rest[place:]!r}")
        place = match.end()
        bracket, key, quoted, plain = match.groups()
        value = bracket or (quoted if quoted is not None else plain)
        if value is None:  # a key stands before a bracket
            if not rest.startswith("(", place):
                raise SearchError(f"nothing stands behind {key}")
            value, place = "(", place + 1
        found.append(((key or "")[:-1], re.sub(r"\\(.)", r"\1", value)))
    return found


def term(key: str, value: str) -> Match:
    """One word: of the message, of a reserved field or tag (`service:shop`), or of an attribute (`@status:500`)."""
    if not key:
        return whole_words(value)
    pattern = re.compile(translate(value), re.IGNORECASE)
    if key.startswith("@"):
        path = key[1:]
        return lambda found: pattern.match(text(found.attributes.get(path))) is not None and path in found.attributes
    return lambda found: (
        pattern.match(found.fields[key]) is not None
        if key in found.fields
        else any(pattern.match(tag.partition(":")[2]) for tag in found.tags if tag.partition(":")[0] == key)
    )


def whole_words(value: str) -> Match:
    """Words of the message, in this order; `*` stands for any part of one."""
    if value == "*":
        return lambda _: True
    if "*" in value:
        pattern = re.compile(translate(value), re.IGNORECASE)
        return lambda found: any(pattern.match(word) for word in found.message.split())
    wanted = [word.lower() for word in WORD.findall(value)]

    def match(found: Found) -> bool:
        if not wanted or wanted[0] not in found.message.lower():
            return False
        words = [word.lower() for word in WORD.findall(found.message)]
        return any(words[start : start + len(wanted)] == wanted for start in range(len(words)))

    return match


def text(value: Any) -> str:
    """An attribute as it is searched for."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def parse(query: str) -> Match:
    """What decides whether something matches.

    Raises:
        SearchError: It cannot be read.
    """
    return Parser(query).whole()
