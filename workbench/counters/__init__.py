"""The counters laboratory: which form of counter keeps a limit, and what it costs.

`forms` has K1 to K8 as atomic steps, `explore` proves or refutes properties by trying every order,
`simulate` runs larger cases with a cost model. Standard library only.
"""

from .explore import PROPERTIES, Verdict, judge, narrate
from .forms import FORMS, title

__all__ = ["FORMS", "PROPERTIES", "Verdict", "judge", "narrate", "title"]
