"""What a file's name says about it: its type, and how it is cut. The content is looked at when it is parsed."""

from __future__ import annotations

from apps.documents.models import Document

_EXTENSIONS: dict[str, str] = {
    Document.Type.PDF: "pdf",
    Document.Type.DOC: (
        "msg eml doc docx ppt pptx yml xml htm json jsonl ldjson csv txt ini xls xlsx wps rtf hlp pages numbers key md "
        "mdx py js java c cpp h php go ts sh cs kt html sql"
    ),
    Document.Type.AURAL: "wav flac ape alac wavpack wv mp3 aac ogg vorbis opus",
    Document.Type.VISUAL: (
        "jpg jpeg png tif gif pcx tga exif fpx svg psd cdr pcd dxf ufo eps ai raw webp avif apng icon ico mpg mpeg avi "
        "rm rmvb mov wmv asf dat asx wvx mpe mpa mp4 mkv"
    ),
}
_TYPE_OF = {extension: type_ for type_, extensions in _EXTENSIONS.items() for extension in extensions.split()}


def type_of(name: str) -> str | None:
    """Return the document type for a file name, or None when files like that are not accepted."""
    return _TYPE_OF.get(suffix_of(name).lower())


def suffix_of(name: str) -> str:
    """Return what follows the last dot, in its own letter case, without the dot."""
    _, dot, suffix = name.rpartition(".")
    return suffix if dot else ""


def chunk_method_of(name: str, type_: str, *, default: str) -> str:
    """Return the chunk method of a new document; where the name does not decide, its dataset's."""
    if type_ == Document.Type.VISUAL:
        return "picture"
    if type_ == Document.Type.AURAL:
        return "audio"
    if name.endswith((".ppt", ".pptx", ".pages")):
        return "presentation"
    return "email" if name.endswith((".msg", ".eml")) else default
