"""PDF through docling's models of page layout: slower by far, for scans, formulas and tables that matter."""

import io

from octad_data.errors import DataError


def extract_pdf_docling(data: bytes) -> str:
    """The text of a PDF as Markdown, by docling's converter with its own settings.

    Raises:
        DataError: docling is not installed, or cannot read the file.
    Cost: seconds a page without an accelerator; models are downloaded at the first call.
    """
    try:
        from docling.datamodel.base_models import DocumentStream  # type: ignore[import-not-found,unused-ignore]
        from docling.document_converter import DocumentConverter  # type: ignore[import-not-found,unused-ignore]
    except ModuleNotFoundError as error:
        raise DataError(f"missing extra: this reader needs {error.name}; pip install docling") from None
    try:
        converted = DocumentConverter().convert(DocumentStream(name="file.pdf", stream=io.BytesIO(data)))
        return str(converted.document.export_to_markdown())
    except Exception as error:  # it raises those of its many parts
        raise DataError(f"broken PDF: docling cannot read it ({error})") from error
