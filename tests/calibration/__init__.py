"""Simulation-based calibration: parameters from the prior, data from the parameters, and fits of these data.

The rank of the true parameter among independent draws of an exact sampler is uniform (Talts, Betancourt,
Simpson, Vehtari, Gelman 2018, arXiv:1804.06788). ``python -m tests.calibration --fits 500`` runs all models
with every metric and kind of trajectory; `test_calibration.py` is the small size of it.
"""
