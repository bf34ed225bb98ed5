"""A program that reads a PDF document from its standard input and prints the number of its pages.

`pdf_pages.py` starts it for each document of a merchant. A small document can take hours and gigabytes to parse, and a
parser may raise any error: then this process ends without a number, and nothing else is affected. It imports neither
Django nor the platform, and has no settings in its environment.
"""

import io
import resource
import sys


def count_pages(*, cpu_seconds: int, memory_bytes: int) -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds))
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # After the limits: the import is part of the work.
    from pypdf import PdfReader

    sys.stdout.write(str(len(PdfReader(io.BytesIO(sys.stdin.buffer.read())).pages)))


if __name__ == "__main__":
    count_pages(cpu_seconds=int(sys.argv[1]), memory_bytes=int(sys.argv[2]))
