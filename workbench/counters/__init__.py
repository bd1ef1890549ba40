"""The counters laboratory: which form of counter keeps a limit, and what it costs.

`forms` has K1 to K8 as atomic steps, `properties` what is asked of them; `explore` proves or
refutes it by trying every order; `simulate` runs larger cases with a cost model, and `tables` shows
them. Standard library only.
"""

from .explore import Verdict, judge, narrate
from .forms import FORMS, title
from .properties import PROPERTIES

__all__ = ["FORMS", "PROPERTIES", "Verdict", "judge", "narrate", "title"]
