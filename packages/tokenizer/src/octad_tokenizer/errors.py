"""The one exception of this package."""

from __future__ import annotations


class TokenizerError(ValueError):
    """A text, an id, a file or a setting that the rules of a tokenizer do not allow.

    The message names what was given, the rule it breaks and the nearest fix.
    """
