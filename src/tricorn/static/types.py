"""Media types by the ends of names: a table of our own, so that they do not depend on what a machine has in
/etc.

The types are those of the IANA's registry; JavaScript as RFC 9239 has it. Text is said to be UTF-8. Of what
compresses well, files beside it that are compressed already are looked for (`app.js.gz`).

Knows: types. Must not know: files, requests.
"""

from __future__ import annotations

from collections.abc import Mapping

#: Type → ends of names. These compress well …
COMPRESSIBLE = {
    "application/atom+xml": "atom",
    "application/geo+json": "geojson",
    "application/json": "json map",
    "application/jsonl": "jsonl ndjson",
    "application/ld+json": "jsonld",
    "application/manifest+json": "webmanifest",
    "application/pdf": "pdf",
    "application/rss+xml": "rss",
    "application/rtf": "rtf",
    "application/wasm": "wasm",
    "application/xhtml+xml": "xhtml xht",
    "application/xml": "xml xsl",
    "application/yaml": "yaml yml",
    "application/vnd.apple.mpegurl": "m3u8",
    "application/vnd.ms-fontobject": "eot",
    "font/collection": "ttc",
    "font/otf": "otf",
    "font/ttf": "ttf",
    "image/bmp": "bmp",
    "image/svg+xml": "svg",
    "image/vnd.microsoft.icon": "ico",
    "model/gltf+json": "gltf",
    "text/calendar": "ics",
    "text/css": "css",
    "text/csv": "csv",
    "text/html": "html htm",
    "text/javascript": "js mjs cjs",
    "text/markdown": "md markdown",
    "text/plain": "txt text log conf ini",
    "text/tab-separated-values": "tsv",
    "text/vcard": "vcf",
    "text/vtt": "vtt",
}
#: … and these are compressed.
COMPRESSED = {
    "application/epub+zip": "epub",
    "application/gzip": "gz tgz",
    "application/java-archive": "jar",
    "application/msword": "doc",
    "application/octet-stream": "bin exe dll so dmg deb rpm iso img msi br",
    "application/vnd.android.package-archive": "apk",
    "application/vnd.ms-excel": "xls",
    "application/vnd.ms-powerpoint": "ppt",
    "application/vnd.oasis.opendocument.presentation": "odp",
    "application/vnd.oasis.opendocument.spreadsheet": "ods",
    "application/vnd.oasis.opendocument.text": "odt",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation": "pptx",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/vnd.rar": "rar",
    "application/x-7z-compressed": "7z",
    "application/x-bzip2": "bz2",
    "application/x-tar": "tar",
    "application/x-xz": "xz",
    "application/zip": "zip whl",
    "application/zstd": "zst",
    "audio/aac": "aac",
    "audio/flac": "flac",
    "audio/midi": "mid midi",
    "audio/mp4": "m4a",
    "audio/mpeg": "mp3",
    "audio/ogg": "oga ogg opus",
    "audio/wav": "wav",
    "font/woff": "woff",
    "font/woff2": "woff2",
    "image/apng": "apng",
    "image/avif": "avif",
    "image/gif": "gif",
    "image/heic": "heic",
    "image/jpeg": "jpg jpeg jpe",
    "image/jxl": "jxl",
    "image/png": "png",
    "image/tiff": "tif tiff",
    "image/webp": "webp",
    "model/gltf-binary": "glb",
    "video/mp4": "mp4 m4v",
    "video/mpeg": "mpg mpeg",
    "video/mp2t": "ts",
    "video/ogg": "ogv",
    "video/quicktime": "mov",
    "video/webm": "webm",
    "video/x-matroska": "mkv",
}

#: Of what has no end that is known (RFC 9110 §8.3).
UNKNOWN = (b"application/octet-stream", False)


def table(given: Mapping[str, str]) -> dict[bytes, tuple[bytes, bool]]:
    """By the end of a name, without the dot and in lower case: what Content-Type says, and whether it
    compresses well.

    given: types by end, which go before ours. They are sent as they are written; what of them compresses is
    what ours of that name does, and text.
    """
    found = {
        end.encode(): (with_charset(kind).encode(), compresses)
        for kinds, compresses in ((COMPRESSIBLE, True), (COMPRESSED, False))
        for kind, ends in kinds.items()
        for end in ends.split()
    }
    for end, kind in given.items():
        bare = kind.partition(";")[0].strip().lower()
        compresses = bare in COMPRESSIBLE or bare.startswith("text/") or bare.endswith(("+json", "+xml"))
        found[end.lower().encode()] = (kind.encode(), compresses)
    return found


def with_charset(kind: str) -> str:
    """Text is said to be UTF-8; JSON and XML have rules of their own (RFC 8259 §8.1, RFC 7303 §3)."""
    return f"{kind}; charset=utf-8" if kind.startswith("text/") else kind
