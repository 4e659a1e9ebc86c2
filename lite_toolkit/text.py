"""Text of others, made fit to be shown: which characters a terminal or a page would obey."""

# Cut, joined and spaced text of some languages needs these; no other character that cannot be seen is allowed.
_INVISIBLE = "\u00a0\u200c\u200d"


def shown(text: str) -> str:
    """Text of others on one line, with U+FFFD for what a terminal would obey."""
    return visible(" ".join(text.split()))


def visible(text: str) -> str:
    """Text of others with U+FFFD for every character that a terminal would obey."""
    return "".join("\ufffd" if odd_characters(character) else character for character in text)


def odd_characters(text: str) -> list[str]:
    """Those that act on a terminal or a page instead of being seen, such as controls and marks of direction."""
    return [character for character in text if not character.isprintable() and character not in _INVISIBLE]
