"""Says in a file's metadata that its colours were guessed: IPTC's DigitalSourceType, and which model guessed.

Sources: IPTC Photo Metadata 2023.2 (Iptc4xmpExt:DigitalSourceType), ISO 16684-1 (XMP, its packet wrapper and RDF),
ISO 16684-3 and Adobe's XMP specification part 3, section 1.2.7 (XMP in the ISO base media file format).
"""

from __future__ import annotations

import contextlib
import struct
import xml.etree.ElementTree as ET
from collections.abc import Mapping

from edgecolor.assets import Model

DIGITAL_SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/algorithmicallyEnhanced"
LARGEST_PACKET = 65_000  # what one JPEG segment can hold, with its prefix
_XMP_BOX = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")

_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_META = "adobe:ns:meta/"
_XMP = "http://ns.adobe.com/xap/1.0/"
_IPTC = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
_SOURCE_TYPE, _TOOL = f"{{{_IPTC}}}DigitalSourceType", f"{{{_XMP}}}CreatorTool"
_DESCRIPTION, _ABOUT = f"{{{_RDF}}}Description", f"{{{_RDF}}}about"
# Replaced, or true of the input only: its orientation, its thumbnails, and a second packet that is not carried over.
_DROPPED = {
    _SOURCE_TYPE,
    _TOOL,
    "{http://ns.adobe.com/tiff/1.0/}Orientation",
    f"{{{_XMP}}}Thumbnails",
    "{http://ns.adobe.com/xmp/note/}HasExtendedXMP",
}
for _prefix, _uri in {
    "x": _META,
    "rdf": _RDF,
    "xmp": _XMP,
    "Iptc4xmpExt": _IPTC,
    "Iptc4xmpCore": "http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/",
    "dc": "http://purl.org/dc/elements/1.1/",
    "photoshop": "http://ns.adobe.com/photoshop/1.0/",
    "tiff": "http://ns.adobe.com/tiff/1.0/",
    "exif": "http://ns.adobe.com/exif/1.0/",
    "xmpMM": "http://ns.adobe.com/xap/1.0/mm/",
    "xmpRights": "http://ns.adobe.com/xap/1.0/rights/",
}.items():
    ET.register_namespace(_prefix, _uri)


def creator_tool(model: Model | None) -> str:
    """The name under which EdgeColor signs: its version, and the model's name and the start of its SHA-256."""
    from edgecolor import __version__

    if model is None:
        return f"EdgeColor {__version__}"
    return f"EdgeColor {__version__} (model {model.name}, sha256 {str(model.card['sha256'])[:16]})"


def mark(packet: bytes | None, tool: str) -> bytes:
    """An XMP packet (UTF-8) that declares guessed colours. tool: see creator_tool.

    The other properties of ``packet`` are kept when it is plain UTF-8 XMP without a document type, and not too large;
    otherwise they are lost. Never raises for a damaged packet.
    """
    if (root := _parse(packet)) is not None:
        with contextlib.suppress(RecursionError):  # of elements a thousand deep, which are read without recursion, but not written
            marked = _wrap(root, tool)
            if len(marked) <= LARGEST_PACKET:
                return marked
    return _wrap(_empty(), tool)


def video_metadata(tool: str, existing: Mapping[str, str] | None = None) -> dict[str, str]:
    """Tags for a video container that declare guessed colours, to be laid over the input's own tags. tool: see creator_tool.

    existing: the input's tags. Its comment is kept, in front of ours; marking twice changes nothing. Keys are those of FFmpeg:
    every container has a place for "comment"; Matroska and WebM also keep the other two, which name the same facts for machines.
    """
    statement = f"The colours are guessed by {tool}; they are synthetic and no evidence. {DIGITAL_SOURCE_TYPE}"
    found = next((value for key, value in (existing or {}).items() if key.lower() == "comment"), "")
    comment = found if statement in found else f"{found}\n{statement}" if found else statement
    return {"comment": comment, "DIGITAL_SOURCE_TYPE": DIGITAL_SOURCE_TYPE, "CREATOR_TOOL": tool}


def xmp_box(tool: str) -> bytes:
    """A whole box with an XMP packet that declares guessed colours, to be put at the end of an MP4 file as it is."""
    packet = mark(None, tool)
    return struct.pack(">I4s", 24 + len(packet), b"uuid") + _XMP_BOX + packet


def _parse(packet: bytes | None) -> ET.Element | None:
    """The packet's x:xmpmeta element with an rdf:Description in it, or None."""
    if not packet or len(packet) > LARGEST_PACKET:
        return None
    try:
        text = packet.rstrip(b"\0").decode("utf-8-sig").strip()
        if "<!" in text.replace("<!--", ""):  # a document type (entities that expand without end) or CDATA
            return None
        # As text: an encoding that the packet declares, and in which markup could hide, is then ignored.
        root = ET.fromstring(text)  # noqa: S314
    except (ValueError, SyntaxError, RecursionError):
        return None
    if root.tag == f"{{{_RDF}}}RDF":
        whole = ET.Element(f"{{{_META}}}xmpmeta")
        whole.append(root)
        root = whole
    return root if root.find(f"{{{_RDF}}}RDF/{_DESCRIPTION}") is not None else None


def _empty() -> ET.Element:
    root = ET.Element(f"{{{_META}}}xmpmeta")
    ET.SubElement(ET.SubElement(root, f"{{{_RDF}}}RDF"), _DESCRIPTION, {_ABOUT: ""})
    return root


def _wrap(root: ET.Element, tool: str) -> bytes:
    descriptions = root.findall(f"{{{_RDF}}}RDF/{_DESCRIPTION}")
    for description in descriptions:
        for name in _DROPPED & set(description.attrib):
            del description.attrib[name]
        for child in [c for c in description if c.tag in _DROPPED]:
            description.remove(child)
    descriptions[0].set(_SOURCE_TYPE, DIGITAL_SOURCE_TYPE)
    descriptions[0].set(_TOOL, tool)
    body = ET.tostring(root, encoding="unicode")
    return f'<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n{body}\n<?xpacket end="w"?>'.encode()
