"""Data sets of the Hugging Face Hub, or of its layout on disk, as documents."""

from collections.abc import Iterable, Iterator
from typing import Any

from octad_data.document import Document
from octad_data.errors import DataError


def hub_documents(
    name: str,
    split: str = "train",
    text_column: str = "text",
    *,
    config: str | None = None,
    streaming: bool = True,
    revision: str | None = None,
) -> Iterator[Document]:
    """Row by row, `id` = name/config/split/row number; rows without text are passed over.

    Args:
        name: of the data set (`roneneldan/TinyStories`), or a folder with its files.
        split: `train`, or with a slice where streaming is off (`train[:1%]`).
        text_column: that holds the text.
        config: where the data set has several.
        streaming: read while downloading; nothing is stored on the disk.
        revision: commit or tag, for runs that must be repeatable.

    Raises:
        DataError: the extra `hub` is missing, the Hub cannot be reached, the data set, split or column does not exist.
    """
    try:
        import datasets
    except ModuleNotFoundError as error:
        raise DataError(f"missing extra: Hub data sets need {error.name}; pip install 'octad-data[hub]'") from None
    try:
        rows = datasets.load_dataset(name, config, split=split, streaming=streaming, revision=revision)
    except Exception as error:  # the library raises its own, requests', httpx's and the file system's
        raise DataError(_failure(name, split, error)) from error
    columns = rows.column_names
    if columns is not None and text_column not in columns:
        raise DataError(f"data set {name!r} has no column {text_column!r}; its columns are {', '.join(columns)}")
    return _documents(rows, "/".join(part for part in (name, config, split) if part), name, text_column)


def _documents(rows: Iterable[dict[str, Any]], prefix: str, name: str, text_column: str) -> Iterator[Document]:
    number = -1
    try:
        for number, row in enumerate(rows):
            text = row.get(text_column)
            if text is None or (isinstance(text, str) and not text.strip()):
                continue
            if not isinstance(text, str):
                raise DataError(
                    f"column {text_column!r} of {name!r} holds {type(text).__name__}, not text; "
                    f"choose one of {', '.join(row)}"
                )
            yield Document(text, f"{prefix}/{number}", name)
    except (OSError, RuntimeError) as error:
        raise DataError(f"data set {name!r} broke off after row {number}: {error}; start again from there") from error


def _failure(name: str, split: str, error: Exception) -> str:
    kinds = {kind.__name__ for kind in type(error).__mro__} | {type(error.__cause__).__name__}
    if kinds & {"ConnectionError", "OfflineModeIsEnabled", "ConnectError", "ConnectTimeout", "LocalEntryNotFoundError"}:
        return (
            f"cannot reach the Hub for data set {name!r}: {error}; go online, or read local files with read_documents"
        )
    return f"cannot load data set {name!r}, split {split!r}: {error}"
