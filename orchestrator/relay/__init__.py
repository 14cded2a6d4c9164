"""A database lent by one process to others: a storage URL in; a ``relay:///FILE`` that works as well out.

Agent and workers of a node need few connections to a server then, nodes that cannot reach the database go
through one that can, and a SQLite file serves several machines::

    lend.py            what an agent calls: lend a database to this node, or to others
    relay.py           who comes in, and whose turn it is (door.py, desk.py)
    lender.py          one real connection: a transaction of a client in, answers out (source.py)
    client.py          the driver of the other side, by the rules of DB-API 2.0; dialects.py for SQLAlchemy
    handshake.py       both sides show that they know the secret, and show nothing else
    wire.py            whole messages over a socket (values.py: what a message may hold)
    address.py         the file that says where a relay listens, and its secret
    need.py            how many connections a run takes, and how many there are

The client's half knows nothing of ``orchestrator.sql``, which uses it; the other half lends what
``orchestrator.sql`` opens.
"""
