"""The one exception of this package."""


class InferError(ValueError):
    """A prompt, a setting or a tensor breaks a rule; the message names what was given, the rule and the nearest fix."""
