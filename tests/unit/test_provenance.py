from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from edgecolor import __version__
from edgecolor.assets import load_model
from edgecolor.provenance import DIGITAL_SOURCE_TYPE, LARGEST_PACKET, creator_tool, mark, video_metadata, xmp_box

SOURCE_TYPE = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}DigitalSourceType"
TOOL = "{http://ns.adobe.com/xap/1.0/}CreatorTool"
RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
EXISTING = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="uuid:1" xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6" tiff:Make="Workshop"/>
<rdf:Description rdf:about="uuid:1" xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:xmp="http://ns.adobe.com/xap/1.0/"
  xmlns:iptc="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" xmlns:own="urn:own">
<dc:description><rdf:Alt><rdf:li xml:lang="x-default">Gr\u00fc\u00dfe</rdf:li></rdf:Alt></dc:description>
<xmp:CreatorTool>Scanner 1</xmp:CreatorTool><iptc:DigitalSourceType>http://example.org/old</iptc:DigitalSourceType>
<own:note>kept</own:note></rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>"""


def described(packet: bytes) -> ET.Element:
    root = ET.fromstring(packet.decode("utf-8"))
    found = root.findall(f"{RDF}RDF/{RDF}Description")
    assert found[0].get(SOURCE_TYPE) == DIGITAL_SOURCE_TYPE
    assert found[0].get(TOOL) == "EdgeColor test"
    assert len(root.findall(f".//{SOURCE_TYPE}")) + len(root.findall(f".//{TOOL}")) == 0, "the properties stand twice"
    return root


def test_a_new_packet_says_how_the_colours_came_about():
    packet = mark(None, "EdgeColor test")
    assert packet.startswith("<?xpacket begin=\"\ufeff\"".encode()) and packet.endswith(b'<?xpacket end="w"?>')
    described(packet)


def test_other_properties_are_kept_and_ours_replace_the_old():
    root = described(mark(EXISTING.encode(), "EdgeColor test"))
    text = ET.tostring(root, encoding="unicode")
    assert "Grüße" in text and "kept" in text and "Workshop" in text and "uuid:1" in text
    assert "Scanner 1" not in text and "example.org/old" not in text and "Orientation" not in text


def test_marking_twice_changes_nothing():
    once = mark(EXISTING.encode(), "EdgeColor test")
    assert mark(once, "EdgeColor test") == once


ENTITY = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]>' + EXISTING.split("?>", 1)[1].replace("kept", "&b;")


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        b"\xff\xfe\0garbage",
        b"<x:xmpmeta",
        b"<other/>",
        ENTITY.encode(),
        ENTITY.encode("utf-16"),
        b"<a>" * 20000,
        (b"<a>" * 5000) + (b"</a>" * 5000),
        EXISTING.replace("kept", "<a>" * 3000 + "</a>" * 3000).encode(),
        EXISTING.replace("kept", "k" * LARGEST_PACKET).encode(),
    ],
    ids=["empty", "binary", "cut", "foreign", "entities", "entities-utf16", "deep-cut", "deep", "deep-property", "large"],
)
def test_hostile_packets_are_replaced(packet):
    marked = mark(packet, "EdgeColor test")
    described(marked)
    assert len(marked) < 1000


def test_a_packet_that_grows_too_large_is_replaced():
    edge = EXISTING.replace("kept", "k" * (LARGEST_PACKET - len(EXISTING.encode()) - 10)).encode()
    assert len(edge) <= LARGEST_PACKET
    assert len(mark(edge, "EdgeColor " + "x" * 500)) < 2000


def test_the_tool_names_version_and_model():
    model = load_model("edgecolor")
    assert creator_tool(None) == f"EdgeColor {__version__}"
    assert creator_tool(model) == f"EdgeColor {__version__} (model {model.name}, sha256 {model.card['sha256'][:16]})"


def test_a_video_says_it_in_its_comment_and_for_machines():
    tags = video_metadata("EdgeColor test")
    assert "The colours are guessed by EdgeColor test" in tags["comment"] and DIGITAL_SOURCE_TYPE in tags["comment"]
    assert (tags["DIGITAL_SOURCE_TYPE"], tags["CREATOR_TOOL"]) == (DIGITAL_SOURCE_TYPE, "EdgeColor test")


def test_a_videos_own_comment_stays_in_front_and_marking_twice_changes_nothing():
    tags = video_metadata("EdgeColor test", {"COMMENT": "Reel 4, found 1987", "title": "Harvest"})
    assert tags["comment"].startswith("Reel 4, found 1987\nThe colours are guessed") and "title" not in tags
    assert video_metadata("EdgeColor test", tags) == tags


def test_the_box_is_a_whole_one_with_a_packet():
    box = xmp_box("EdgeColor test")
    assert (int.from_bytes(box[:4]), box[4:8], box[8:24].hex()) == (len(box), b"uuid", "be7acfcb97a942e89c71999491e3afac")
    described(box[24:])


def test_a_film_with_the_box_at_its_end_is_still_a_film(tmp_path, data):
    av = pytest.importorskip("av")
    (tmp_path / "x.mp4").write_bytes((data / "demo.mp4").read_bytes() + xmp_box("EdgeColor test"))
    with av.open(str(tmp_path / "x.mp4")) as marked, av.open(str(data / "demo.mp4")) as plain:
        assert marked.duration == plain.duration
        assert sum(1 for _ in marked.decode(video=0)) == sum(1 for _ in plain.decode(video=0))
