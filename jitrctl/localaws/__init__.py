"""Runs the local AWS: starts its accounts, deploys the stacks, makes CAs and devices."""
