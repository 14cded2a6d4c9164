"""A database without a DBA: a folder in; a private MariaDB or MySQL server of this user, or none, out.

The server runs as the user who starts it, on a socket of its own, and keeps everything in the folder: data,
settings (``server.cnf``), log, and the two generated passwords, in option files that their owner alone can
read. The storage URL names the option file, so that it holds no secret.
"""
