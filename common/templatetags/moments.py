"""Times on pages: `{% load moments %}{{ payment.created_at|moment }}`."""

from django import template

from common.list_columns import show_moment
from common.time_zones import describe_current_zone

register = template.Library()
register.filter("moment", show_moment)
register.simple_tag(describe_current_zone, name="current_zone")
