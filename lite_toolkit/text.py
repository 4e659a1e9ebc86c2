"""Text of others, made fit to be shown: which characters a terminal or a page would obey."""

from typing import Any

LONGEST_TEXT = 300  # characters; what the toolkit writes into a document is shorter

# Cut, joined and spaced text of some languages needs these; no other character that cannot be seen is allowed.
_INVISIBLE = "\u00a0\u200c\u200d"


def shown(text: str) -> str:
    """Text of others on one line, with U+FFFD for what a terminal would obey."""
    return visible(" ".join(text.split()))


def visible(text: str) -> str:
    """Text of others with U+FFFD for every character that a terminal would obey."""
    return "".join("\ufffd" if odd_characters(character) else character for character in text)


def cleaned(value: Any, longest: int | None = None) -> Any:
    """A value of JSON whose texts are made fit to be shown, those longer than `longest` characters cut."""
    if isinstance(value, str):
        return shown(value if longest is None or len(value) <= longest else f"{value[:longest]}…")
    if isinstance(value, list):
        return [cleaned(one, longest) for one in value]
    if isinstance(value, dict):
        return {cleaned(key, longest): cleaned(one, longest) for key, one in value.items()}
    return value


def odd_characters(text: str) -> list[str]:
    """Those that act on a terminal or a page instead of being seen, such as controls and marks of direction."""
    return [character for character in text if not character.isprintable() and character not in _INVISIBLE]
