"""Studies carried from one database to another, or into a file and back, with all that is known of them.

::

    content.py    what a study consists of while it is carried
    reading.py    a database → content
    landing.py    content of a live study → content at rest
    writing.py    content → a database (run_ids.py, bulk.py)
    archive.py    a database → a file that was read back; then the study may go
    files.py      content ⇄ a file (format.py; its lines: encoding.py, decoding.py, checks.py)
"""
