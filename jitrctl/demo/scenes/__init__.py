"""What devices go through in the demo, one module per subject; story.py puts the scenes in order."""
