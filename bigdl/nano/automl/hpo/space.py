"""Search spaces: what a hyperparameter may be.

    Real(1e-4, 1e-2, log=True)      Int(8, 64, step=8)      Bool()
    Categorical("relu", "tanh")     Categorical(Dense(units=Int(8, 64)), LSTM(units=Int(4, 32)))
    List(Int(1, 3), Real(0, 1))     Dict(units=Int(8, 64), rate=Real(0, 0.5))

A space is given in place of a value. Its parameter is named by the argument that it is given for; a
``prefix`` parts spaces for arguments of one name (``dense_1:units``). Without one they share a parameter,
and the space that was defined last counts for all of them.
"""

from bigdl.nano.automl.hpo.basis import NestedSpace, SimpleSpace, Space
from bigdl.nano.automl.hpo.choices import Categorical
from bigdl.nano.automl.hpo.containers import Dict, List
from bigdl.nano.automl.hpo.naming import SPLITTER
from bigdl.nano.automl.hpo.ranges import Bool, Int, Real

__all__ = [
    "SPLITTER",
    "Bool",
    "Categorical",
    "Dict",
    "Int",
    "List",
    "NestedSpace",
    "Real",
    "SimpleSpace",
    "Space",
]
