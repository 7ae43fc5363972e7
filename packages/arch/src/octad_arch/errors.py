"""The one exception of this package."""


class ArchError(ValueError):
    """A specification, an input or a checkpoint breaks a rule; the message says what, which and the nearest fix."""


def require(claim: bool, message: str) -> None:
    """Raise `ArchError(message)` unless the claim holds."""
    if not claim:
        raise ArchError(message)


def require_positive(**sizes: float) -> None:
    """Raise `ArchError` for the first named size that is not above zero."""
    for name, size in sizes.items():
        require(size > 0, f"{name}={size} must be above 0")
