"""Hyperparameter search: spaces, decorators, plots."""
