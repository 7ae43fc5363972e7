"""The one exception of the package."""


class DataError(ValueError):
    """Something given to octad_data breaks a rule; the message names what was given, the rule and the nearest fix.

    Messages about files have the form `reason: detail`; `ReadReport` counts them by the part before the colon.
    """
