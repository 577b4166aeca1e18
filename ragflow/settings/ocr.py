"""Services that read text from pictures, under the names that their variables have everywhere."""

from ragflow.settings.env import Section

_ocr = Section("Reading pictures")

OCR_SERVICES = {
    provider: values
    for provider, values in {
        "MinerU": {
            "MINERU_APISERVER": _ocr.text("MINERU_APISERVER", help="Address of a MinerU server."),
            "MINERU_OUTPUT_DIR": _ocr.text("MINERU_OUTPUT_DIR", help="Folder that MinerU writes to."),
            "MINERU_BACKEND": _ocr.text("MINERU_BACKEND", help="MinerU's way to read, such as pipeline."),
            "MINERU_SERVER_URL": _ocr.text("MINERU_SERVER_URL", help="Address of the model server that MinerU asks."),
            "MINERU_DELETE_OUTPUT": _ocr.text("MINERU_DELETE_OUTPUT", help="0: MinerU's files are kept."),
        },
        "PaddleOCR": {
            "PADDLEOCR_API_URL": _ocr.text("PADDLEOCR_API_URL", help="Address of a PaddleOCR server."),
            "PADDLEOCR_ACCESS_TOKEN": _ocr.text("PADDLEOCR_ACCESS_TOKEN", secret=True, help="Token for that server."),
            "PADDLEOCR_ALGORITHM": _ocr.text("PADDLEOCR_ALGORITHM", help="PaddleOCR's way to read."),
        },
    }.items()
    if any(values.values())
}
"""The variables by provider. Of a service without any there are no models."""
