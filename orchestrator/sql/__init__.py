"""One SQL database: a storage URL in; patient transactions out. Of studies it knows the schema alone.

::

    driver.py          a URL → how to connect (option_file.py, tls.py)
    opening.py         a URL → a database with its tables, or one line on what is wrong (explaining.py)
    tables.py          makes the tables that are missing, where the account may (rights.py)
    asking.py          a URL and a question → the answer; nothing is created
    database.py        transactions that survive restarts (failures, patience, waiting, idle, turns)
    schema.py          Optuna's tables and ours
    upsert.py          rows that may be there already
    advice.py          what to know about a storage before a run (network_fs.py)
"""
