"""The one exception of the package."""


class AlignError(ValueError):
    """An argument breaks a rule of octad_align; the message names what was given, the rule and the nearest fix."""
