"""The CDK constructs of jitr, one module per concern; app.py at the root makes the stacks."""
