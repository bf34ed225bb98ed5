"""Failures on pages: `{% load failures %}{% failure payment.failure_code payment.failure_message %}`."""

from django import template

from backoffice.renderers.failures import show_failure

register = template.Library()
register.simple_tag(show_failure, name="failure")
