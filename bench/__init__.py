"""Measures the figures of docs/performance.md, each module by itself (`python -m bench.storm --help`).

No figure is asserted anywhere: the test suite counts calls, and does not measure time.
"""
