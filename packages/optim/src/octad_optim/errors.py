"""The one exception of the package, and the check that raises it."""


class OptimError(ValueError):
    """A setting, a gradient or a model that an optimiser cannot work with; the message names the nearest fix."""


def require(holds: bool, given: str, rule: str) -> None:
    """Raise `OptimError("{given}; {rule}")` unless the claim holds.

    Args:
        holds: the claim that was checked.
        given: what was given, as `name=value`.
        rule: the rule and the nearest fix.
    """
    if not holds:
        raise OptimError(f"{given}; {rule}")
