"""What is said, at which level, and that `quiet` says nothing."""

import logging
import re

import pymc as pm
import pytest


@pytest.fixture
def messages(normal_model, rust_sample, caplog):
    def sample(**kwargs):
        caplog.clear()
        with caplog.at_level(logging.DEBUG, logger="pymc"), normal_model:
            rust_sample(**{"quiet": False, "progressbar": False, **kwargs})
        return [(record.levelname, record.getMessage()) for record in caplog.records]

    return sample


def test_first_and_last_line(messages):
    said = messages(draws=1000, tune=400, chains=1)
    assert said[0] == ("INFO", "NUTS[rustmc]: [mu, sigma]")
    level, last = said[-1]
    assert level == "INFO"
    assert re.fullmatch(
        r"Sampling 1 chain for 400 tune and 1_000 draw iterations "
        r"\(400 \+ 1_000 draws total\) took \d seconds\.",
        last,
    )


def test_convergence_is_checked_after_the_last_line(messages):
    said = messages(draws=150, tune=300, chains=2, compute_convergence_checks=True)
    (end,) = [i for i, (_, text) in enumerate(said) if text.startswith("Sampling 2 chains")]
    assert ("INFO", said[end + 1][1]) == said[end + 1]
    assert "at least 4 chains" in said[end + 1][1]


def test_quiet_says_nothing(messages, capfd):
    assert messages(draws=20, quiet=True, compute_convergence_checks=True) == []
    assert capfd.readouterr() == ("", "")


def test_maximum_tree_depth_is_reported(rust_sample, caplog):
    with caplog.at_level(logging.WARNING, logger="pymc"), pm.Model():
        pm.Normal("x", shape=20)
        rust_sample(
            draws=120,
            tune=200,
            nuts={"max_treedepth": 1},
            quiet=False,
            progressbar=False,
            compute_convergence_checks=True,
        )
    text = [record.getMessage() for record in caplog.records]
    assert "Chain 0 reached the maximum tree depth" in "".join(text)
