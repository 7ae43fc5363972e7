"""The one family of errors this package raises."""


class SystemsError(ValueError):
    """What was given breaks a rule of octad_systems; the message names both and the nearest fix."""


class CheckpointError(SystemsError):
    """A checkpoint cannot be written (no space, unsupported value) or trusted (torn, altered, unknown version)."""


class UnknownVersionError(CheckpointError):
    """A checkpoint of a format version that this release does not read; it may be perfectly good for another."""


class KernelError(SystemsError):
    """A kernel was given what it does not take, or this machine cannot compile it."""
