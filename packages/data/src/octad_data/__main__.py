"""`octad-data` and `python -m octad_data`."""

import os
import signal
import sys

from octad_data.errors import DataError

CTRL_C, BROKEN_PIPE = 130, 141  # as a shell says it: 128 + the number of the signal


def main() -> None:
    """Run the command line; an error that a person can mend is one line, not a traceback."""
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        try:
            from octad_data.command_line import app
        except ModuleNotFoundError as error:
            raise DataError(
                f"missing extra: the command line needs {error.name}; pip install 'octad-data[engine]'"
            ) from None
        app()
    except KeyboardInterrupt:
        sys.exit(CTRL_C)
    except BrokenPipeError:
        with open(os.devnull, "w") as nowhere:  # noqa: PTH123 - Python flushes once more at its end
            os.dup2(nowhere.fileno(), sys.stdout.fileno())
        sys.exit(BROKEN_PIPE)
    except (DataError, OSError) as error:
        sys.exit(f"octad-data: {' '.join(str(error).split())}")


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
