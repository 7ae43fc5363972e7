"""The licence that source code says it is under."""

import re
from pathlib import Path

SPDX = re.compile(r"SPDX-License-Identifier:\s*\(?([A-Za-z0-9.+-]+(?:\s+(?:OR|AND|WITH)\s+[A-Za-z0-9.+-]+)*)\)?")
HEAD = 8192  # characters in which a licence notice stands
PERMISSIVE = frozenset(
    {
        "MIT",
        "Apache-2.0",
        "BSD-2-Clause",
        "BSD-3-Clause",
        "ISC",
        "Unlicense",
        "CC0-1.0",
        "Zlib",
        "PSF-2.0",
        "0BSD",
        "BSL-1.0",
    }
)
# Sentences by which well-known licences are told; the first that stands there counts.
PHRASES = (
    ("AGPL-3.0", r"GNU Affero General Public License"),
    ("LGPL-3.0", r"GNU Lesser General Public License.{0,400}version 3"),
    ("LGPL-2.1", r"GNU (?:Lesser|Library) General Public License"),
    ("GPL-3.0", r"GNU General Public License.{0,400}version 3"),
    ("GPL-2.0", r"GNU General Public License"),
    ("Apache-2.0", r"Apache License,? Version 2\.0"),
    ("MPL-2.0", r"Mozilla Public License,? (?:Version |v\. ?)2\.0"),
    ("CC0-1.0", r"CC0 1\.0 Universal"),
    ("Unlicense", r"This is free and unencumbered software released into the public domain"),
    ("BSL-1.0", r"Boost Software License"),
    ("PSF-2.0", r"Python Software Foundation License"),
    ("MIT", r"Permission is hereby granted, free of charge, to any person obtaining a copy"),
    ("ISC", r"Permission to use, copy, modify, and(?:/or)? distribute this software for any purpose"),
    ("BSD-3-Clause", r"Redistribution and use in source and binary forms.{0,1200}Neither the name"),
    ("BSD-2-Clause", r"Redistribution and use in source and binary forms"),
)
PATTERNS = tuple(
    (name, re.compile(phrase.replace(" ", r"[\s#*/;-]+"), re.DOTALL | re.IGNORECASE)) for name, phrase in PHRASES
)
FILES = re.compile(r"^(?:LICEN[CS]E|COPYING)(?:\..*)?$", re.IGNORECASE)


def licence_of_text(text: str) -> str:
    """The SPDX name of the licence in a file's head or in a licence's own text; empty where none is told.

    Args:
        text: of a source file, whose first 8,000 characters count, or of a LICENSE file.
    """
    head = text[:HEAD]
    stated = SPDX.search(head)
    if stated:
        return stated[1]
    return next((name for name, pattern in PATTERNS if pattern.search(head)), "")


def licence_of_folder(folder: Path) -> str:
    """The licence in the LICENSE or COPYING file of a folder; empty where there is none that is known."""
    try:
        names = sorted(path for path in folder.iterdir() if FILES.match(path.name) and path.is_file())
        return next((found for path in names if (found := licence_of_text(path.read_text("utf-8", "replace")))), "")
    except OSError:
        return ""


def is_permissive(licence: str) -> bool:
    """Whether one of the licences named is permissive: use in training data asks for no more than a notice."""
    return any(part in PERMISSIVE for part in re.split(r"\s+OR\s+", licence))
