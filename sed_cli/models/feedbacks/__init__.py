"""The rules of feedback, a class in a file each; see :mod:`sed_cli.models.feedback`."""

from __future__ import annotations

from sed_cli.config.registry import component_named, components
from sed_cli.config.training import SamplerConfig
from sed_cli.errors import ConfigError
from sed_cli.models.feedback import FeedbackRule


def rule_named(name: str) -> FeedbackRule:
    """Return a rule.

    Raises:
        ConfigError: if there is none of the name; it lists those there are.
    """
    rule: FeedbackRule = component_named("feedback", name)()
    return rule


def rule_of(feedback: str | FeedbackRule) -> FeedbackRule:
    """Return the rule named, or the one given.

    Raises:
        ValueError: if there is none of the name.
    """
    if isinstance(feedback, FeedbackRule):
        return feedback
    try:
        return rule_named(feedback)
    except ConfigError:
        known = ", ".join(components("feedback"))
        raise ValueError(f"feedback={feedback!r}: expected one of {known}, or a rule") from None


def rule_in(sampler: SamplerConfig) -> FeedbackRule:
    """Return the rule of a sampler."""
    assert isinstance(sampler.feedback, FeedbackRule)
    return sampler.feedback


def repeatable(feedback: str | FeedbackRule) -> FeedbackRule:
    """The rule that a trained model runs with: it draws nothing, so that the outputs repeat.

    One that draws feeds as many numbers as ``hard``, in whose place that stands.
    """
    rule = rule_of(feedback)
    return rule_named("hard") if rule.draws else rule
