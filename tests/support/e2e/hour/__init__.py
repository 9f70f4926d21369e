"""An operator's first hour on the local AWS: each break is cured with what jitrctl prints, and the device comes in.

python -m tests.support.e2e.hour                 all steps, and their table
python -m tests.support.e2e.hour paused replay   the set-up and these steps
python -m tests.support.e2e.hour --table         the table of the last run, at the terminal's width or for a pipe

checkout    a new user's checkout and fleet file, in a folder of its own
terminal    runs commands as child processes on a terminal, and answers their questions
printed     what is in the printed text: commands, sentences
operator    reads what commands print, and does what they say
outcome     a step, and what came of it, as a row
report      the table
kept        the last run, in build/hour.json
setting_up … rotating    the steps, by subject
hour        the steps in order
"""
