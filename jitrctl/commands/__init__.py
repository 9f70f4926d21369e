"""One module per command of jitrctl."""
