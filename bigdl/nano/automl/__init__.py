"""Automated machine learning."""
