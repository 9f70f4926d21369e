"""What docs/performance.md's figures come from: each module by itself (`python -m bench.storm --help`).

No figure is asserted anywhere; the test suite counts calls, it does not measure time.
"""
