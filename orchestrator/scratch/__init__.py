"""This node's own disk, for what a run writes often: a run directory that others see in; files near out.

Where the run directory lies on a network file system, and wherever somebody names a folder (``--scratch``)::

    place.py          which folder of this node belongs to a run directory
    shared_folder.py  a folder that several processes use; the last one removes it
    study_file.py     the run's SQLite file: at work here, copied to the run directory
    keeper.py         the thread that copies it and says that we are at work
    marker.py         the file by which other nodes see that
    copies.py         consistent copies of a SQLite file; restoring.py: which one a later job goes on with
    logs.py           the workers' logs: written here, brought to the run directory at the end
"""
