"""`jitrctl prove`: measures, in one or two of the user's accounts, how AWS behaves where its documentation is silent.

probe.py         what a probe is: a question, what jitr assumes, what another answer means
probes/          the probes, one file each
journal.py       everything that a run makes, written before the call that makes it
guard.py         the only way to AWS: it sends no change of a thing that the journal does not name
cleaning.py      deletes what the journal names, and nothing else
surroundings.py  refuses accounts that are not a sandbox
run.py           what probes work with: CAs, devices, events
runner.py        carries out the probes, and cleans
report.py        the table, and the file that docs/measured/README.md describes
"""
