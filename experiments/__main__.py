"""`python -m experiments`."""

from experiments.app import app

app()
