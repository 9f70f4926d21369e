"""The CDK constructs of jitr, one module per concern; app.py puts them together."""
