"""How fast the workbench is, measured beside libcachesim and beside a C loop that does nothing.

    python -m tests.bench               every section, about five minutes
    python -m tests.bench --quick       shorter traces, about one minute
    python -m tests.bench --only shared --only flat
    python -m tests.bench --readme      put the table into README.md
    python -m tests.bench.profile       steps counted and time per event, scheme by scheme

Nothing is asserted: machines differ and are noisy. What was aimed at stands beside what was met.
"""
