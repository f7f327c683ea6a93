"""Documents of each format, small ones made here: what a word processor or browser would have saved."""

from __future__ import annotations

import io
import zipfile

import openpyxl
import pptx

TEA = "Green tea is brewed at eighty degrees."
HTML = f"<!doctype html><html><body><h1>Tea</h1><p>{TEA}</p><script>alert('no')</script></body></html>".encode()


def pdf(text: str = TEA, encrypted: str = "") -> bytes:
    """A page with a line; `encrypted` is what its trailer says of that."""
    drawn = b"BT /F1 12 Tf 72 700 Td (" + text.encode() + b") Tj ET"
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Contents 4 0 R/Resources<</Font<</F1 5 0 R>>>>>>",
        b"<</Length %d>>stream\n%s\nendstream" % (len(drawn), drawn),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
    ]
    out, places = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, start=1):
        places.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    end = b"trailer<</Size 6/Root 1 0 R%s>>\nstartxref\n%d\n%%%%EOF" % (encrypted.encode(), len(out))
    return out + b"xref\n0 6\n0000000000 65535 f \n" + table + end


def encrypted_pdf() -> bytes:
    secret = "00" * 32
    names = f"/ID[<{'00' * 16}><{'00' * 16}>]"
    return pdf(encrypted=f"{names}/Encrypt<</Filter/Standard/V 2/R 3/Length 128/P -4/O<{secret}>/U<{secret}>>>")


def docx(text: str = TEA) -> bytes:
    types = (
        '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
        '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        '<Override PartName="/word/document.xml" ContentType='
        '"application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"/></Types>'
    )
    relations = (
        '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="r" '
        'Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument" '
        'Target="word/document.xml"/></Relationships>'
    )
    body = (
        '<w:document xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"><w:body><w:p><w:r>'
        f"<w:t>{text}</w:t></w:r></w:p></w:body></w:document>"
    )
    return zipped({"[Content_Types].xml": types, "_rels/.rels": relations, "word/document.xml": body})


def xlsx(text: str = TEA) -> bytes:
    book = openpyxl.Workbook()
    book.active.append(["drink", text])
    return _saved(book)


def slides(text: str = TEA) -> bytes:
    show = pptx.Presentation()
    show.slides.add_slide(show.slide_layouts[0]).shapes.title.text = text
    return _saved(show)


def zipped(parts: dict[str, str | bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return out.getvalue()


def _saved(document: openpyxl.Workbook | object) -> bytes:
    out = io.BytesIO()
    document.save(out)  # type: ignore[attr-defined]
    return out.getvalue()
