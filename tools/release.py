"""What a release tag means, after checking that the tree agrees with it.

    python tools/release.py tokenizer-v0.2.0       # prints package=octad-tokenizer

The tag names the package without its `octad-` (the integration package is `octad`), the version must be the one in its
pyproject.toml, and CHANGELOG.md must have a dated section for it.
"""

from __future__ import annotations

import re
import sys

from workspace import members


def main() -> None:
    """Check the tag in argv and print the package."""
    found = re.fullmatch(r"([a-z]+)-v(\d+\.\d+\.\d+\S*)", sys.argv[1])
    if not found:
        sys.exit(f"tag {sys.argv[1]!r} is not NAME-vX.Y.Z, such as tokenizer-v0.2.0")
    name = "octad" if found[1] == "octad" else f"octad-{found[1]}"
    everyone = members()
    if name not in everyone:
        sys.exit(f"tag {sys.argv[1]!r}: no package {name}; there are {', '.join(everyone)}")
    if everyone[name].version != found[2]:
        sys.exit(f"tag {sys.argv[1]!r}, but {name} is {everyone[name].version}: uv version --package {name} {found[2]}")
    changes = (everyone[name].folder / "CHANGELOG.md").read_text()
    if not re.search(rf"^## {re.escape(found[2])} \(\d{{4}}-\d\d-\d\d\)$", changes, re.MULTILINE):
        sys.exit(f"{everyone[name].path}/CHANGELOG.md has no section `## {found[2]} (YYYY-MM-DD)`")
    print(f"package={name}")


if __name__ == "__main__":
    main()
