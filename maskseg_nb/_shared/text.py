"""Text from elsewhere (file names, categories, errors) made fit to be shown: nothing in it acts unseen."""

import html
from unicodedata import category

_UNSEEN = ("Cc", "Cf", "Cs", "Zl", "Zp")  # control, format (right-to-left marks), surrogate, separators
_JOINERS = "\u200c\u200d"  # ordinary in Persian and in emoji


def visible(text: str) -> str:
    """Show control characters, marks that turn the writing around and lone surrogates as escapes."""
    return "".join(
        char.encode("unicode_escape").decode() if category(char) in _UNSEEN and char not in _JOINERS else char
        for char in text
    )


def as_html(text: str) -> str:
    """Text as HTML that shows just this text."""
    return html.escape(visible(text))
