"""`octad` and `python -m octad`."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line; an error that a person can mend is one line, not a traceback."""
    from octad.command_line import app

    try:
        app()
    except KeyboardInterrupt:
        sys.exit("\nstopped; the same command continues")
    except (ValueError, OSError) as error:
        if not (isinstance(error, OSError) or type(error).__module__.split(".")[0].startswith("octad")):
            raise
        sys.exit(f"octad: {error}")


if __name__ == "__main__":
    main()
