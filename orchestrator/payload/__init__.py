"""What Python hands to worker processes: a pickle, whose large arrays lie in files that all workers map.

::

    pickling.py   an object → its pickle, and back (tensors.py: tensors of torch are arrays, too)
    folder.py     the folder of the array files, shared by the agents of a node while they live
    contents.py   an array → its bytes and their digest
    backing.py    an array → the file of the user's that it is already mapped from
    reading.py    a reference in a pickle → the array, mapped
"""

from orchestrator.payload.folder import ArrayFolder, place_of_arrays
from orchestrator.payload.pickling import dump, load

__all__ = ["ArrayFolder", "dump", "load", "place_of_arrays"]
