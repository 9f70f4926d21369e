"""The demo's scenes, one module per subject; story.py puts them in order."""
