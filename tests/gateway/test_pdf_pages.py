"""A PDF file that exhausts its reader ends only the process that reads it."""

import zlib

import pytest

from gateway.services.pdf_pages import count_pdf_pages

PAGE = b"<</Type/Page/MediaBox[0 0 9 9]>>"


def test_pages_are_counted() -> None:
    assert count_pdf_pages(build_tree(levels=1, width=3)) == 3


def test_a_document_that_takes_hours_is_not_read() -> None:
    """The file has a tree of a billion pages in 1,380 bytes."""
    assert count_pdf_pages(build_tree(levels=9, width=10), cpu_seconds=1) is None


@pytest.mark.parametrize(("size", "pages"), [(10, 0), (30_000_000, None)])
def test_a_document_that_takes_too_much_memory_is_not_read(size: int, pages: int | None) -> None:
    """The file has 30 MB, which take some hundred bytes because they are compressed twice."""
    assert count_pdf_pages(build_compressed_tree(size), memory_bytes=80 * 2**20) == pages


def build_tree(*, levels: int, width: int) -> bytes:
    """Each node of the page tree refers to the same child `width` times."""
    kids = [b"%d 0 R " % (level + 3) * width for level in range(levels)]
    nodes = [b"<</Type/Pages/Count 1/Kids[%s]>>" % each for each in kids]
    document, offsets = b"%PDF-1.7\n", []
    for number, node in enumerate([b"<</Type/Catalog/Pages 2 0 R>>", *nodes, PAGE], 1):
        offsets.append(len(document))
        document += b"%d 0 obj\n%s\nendobj\n" % (number, node)
    size, start = len(offsets) + 1, len(document)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    document += b"xref\n0 %d\n0000000000 65535 f \n%s" % (size, table)
    return document + b"trailer\n<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF" % (size, start)


def build_compressed_tree(size: int) -> bytes:
    """The page tree is in an object stream, followed by spaces."""
    tree = b"2 0 <</Type/Pages/Kids[]>>" + b" " * size
    stream = zlib.compress(zlib.compress(tree))
    document = b"%PDF-1.7\n"
    document += b"1 0 obj\n<</Type/Catalog/Pages 2 0 R>>\nendobj\n"
    start = len(document)
    filters = b"/Filter[/FlateDecode/FlateDecode]"
    document += b"3 0 obj\n<</Type/ObjStm/N 1/First 4%s/Length %d>>stream\n" % (filters, len(stream))
    document += stream + b"\nendstream\nendobj\n"
    table = len(document)
    rows = [(0, 0, 255), (1, 9, 0), (2, 3, 0), (1, start, 0), (1, table, 0)]
    packed = b"".join(bytes([kind]) + where.to_bytes(4, "big") + bytes([last]) for kind, where, last in rows)
    document += b"4 0 obj\n<</Type/XRef/Size 5/W[1 4 1]/Root 1 0 R/Length %d>>stream\n" % len(packed)
    return document + packed + b"\nendstream\nendobj\nstartxref\n%d\n%%%%EOF" % table
