"""The feedback rules, one class per file; see :mod:`sed_cli.models.feedback`."""

from __future__ import annotations

from sed_cli.config.registry import component_named, components
from sed_cli.config.training import SamplerConfig
from sed_cli.errors import ConfigError
from sed_cli.models.feedback import FeedbackRule


def rule_named(name: str) -> FeedbackRule:
    """Return a rule.

    Raises:
        ConfigError: if the name is unknown; the message lists the known names.
    """
    rule: FeedbackRule = component_named("feedback", name)()
    return rule


def rule_of(feedback: str | FeedbackRule) -> FeedbackRule:
    """Return the rule named, or the one given.

    Raises:
        ValueError: if the name is unknown.
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
    """The rule for inference, which is deterministic.

    A random rule is replaced by ``hard``, with the same number of inputs.
    """
    rule = rule_of(feedback)
    return rule_named("hard") if rule.draws else rule
