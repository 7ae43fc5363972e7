"""`octad` and `python -m octad`."""

from __future__ import annotations

import os
import signal
import sys

from octad.errors import printable
from octad.interruption import stop_at_once

CTRL_C, BROKEN_PIPE = 130, 141  # as a shell says it: 128 + the number of the signal


def main() -> None:
    """Run the command line; an error that a person can mend is one line, not a traceback."""
    stop_at_once()
    try:
        from octad.command_line import app

        app()
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a third Ctrl-C comes too late to matter
        sys.exit(CTRL_C)
    except BrokenPipeError:
        with open(os.devnull, "w") as nowhere:  # noqa: PTH123 - Python flushes once more at its end
            for stream in (sys.stdout, sys.stderr):
                os.dup2(nowhere.fileno(), stream.fileno())
        sys.exit(BROKEN_PIPE)
    except (ValueError, OSError) as error:
        if not (isinstance(error, OSError) or type(error).__module__.split(".")[0].startswith("octad")):
            raise
        sys.exit(f"octad: {printable(' '.join(str(error).split()))}")


if __name__ == "__main__":
    main()
