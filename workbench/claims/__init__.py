"""What was claimed in March 2007, and what the engine says to it.

    claims.table(question=4)      every claim of a big question, its verdict and what was expected
    claims.get("C034")            one claim; `settle(claim)` runs its cases anew

One TOML file per big question has the claims and their cases, thresholds included; the JSON file
beside it has what came out and is written by `workbench claims --write`, never by hand.
"""

from .ledger import Case, Claim, LedgerError, get, load, questions
from .tried import Found, Settled, measured, settle, settle_all, stored, table

__all__ = [
    "Case", "Claim", "Found", "LedgerError", "Settled", "get", "load", "measured",
    "questions", "settle", "settle_all", "stored", "table",
]
