"""Distinguished names as text.

Knows: RFC 2253 as OpenSSL and Apache's mod_ssl write it, and RFC 4514, which followed it. Must not know:
whose name it is.

Both begin with the most special part: `CN=Ada,O=Analytical Engines,C=GB`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from tricorn.tls.certificate import Attribute, DistinguishedName
from tricorn.tls.der import CHARACTERS, characters

#: The short names that the text of RFC 4514 uses (§3 there, and the descriptors of RFC 4519 and RFC 5280).
RFC_4514: Mapping[str, str] = {
    "2.5.4.3": "CN",
    "2.5.4.4": "sn",
    "2.5.4.5": "serialNumber",
    "2.5.4.6": "C",
    "2.5.4.7": "L",
    "2.5.4.8": "ST",
    "2.5.4.9": "STREET",
    "2.5.4.10": "O",
    "2.5.4.11": "OU",
    "2.5.4.12": "title",
    "2.5.4.13": "description",
    "2.5.4.17": "postalCode",
    "2.5.4.42": "givenName",
    "2.5.4.43": "initials",
    "2.5.4.44": "generationQualifier",
    "2.5.4.46": "dnQualifier",
    "0.9.2342.19200300.100.1.1": "UID",
    "0.9.2342.19200300.100.1.25": "DC",
    "1.2.840.113549.1.9.1": "emailAddress",
}

#: The same as OpenSSL calls them, which is what mod_ssl shows.
OPENSSL: Mapping[str, str] = {
    **RFC_4514,
    "2.5.4.4": "SN",
    "2.5.4.9": "street",
    "2.5.4.42": "GN",
    "2.5.4.65": "pseudonym",
    "2.5.4.97": "organizationIdentifier",
}

_SPECIAL = re.compile(r'[,+"\\<>;]')
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def text_of(name: DistinguishedName, short_names: Mapping[str, str]) -> str:
    """The whole name on one line. Only ASCII characters are ever escaped."""
    return ",".join(
        "+".join(_pair(attribute, short_names) for attribute in reversed(part)) for part in reversed(name)
    )


def attributes_of(name: DistinguishedName) -> Iterator[tuple[str, str]]:
    """Each attribute of text with its object identifier, in the certificate's order."""
    for part in name:
        for attribute in part:
            if attribute.value.tag in CHARACTERS:
                yield attribute.kind, _CONTROL.sub(_hexadecimal, characters(attribute.value))


def _pair(attribute: Attribute, short_names: Mapping[str, str]) -> str:
    value, kind = attribute.value, attribute.kind
    if kind in short_names and value.tag in CHARACTERS:
        return f"{short_names[kind]}={_escaped(characters(value))}"
    # RFC 4514 §2.4: what has no name, or is no text, is shown as it is encoded.
    return f"{short_names.get(kind, kind)}=#{value.encoded.hex().upper()}"


def _escaped(text: str) -> str:
    text = _CONTROL.sub(_hexadecimal, _SPECIAL.sub(r"\\\g<0>", text))
    if text.startswith((" ", "#")):
        text = "\\" + text
    if text.endswith(" ") and text != "\\ ":
        text = text[:-1] + "\\ "
    return text


def _hexadecimal(found: re.Match[str]) -> str:
    return f"\\{ord(found[0]):02X}"
