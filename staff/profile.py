"""The profile: what a person may set for themselves."""

from django import forms
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods

from common.admin_forms import with_theme_widgets
from common.errors import OperationRefused
from common.time_zones import list_zones
from staff.preferences import Preferences, save_time_zone


class ProfileForm(forms.Form):
    time_zone = forms.ChoiceField(
        label=gettext_lazy("Time zone"),
        required=False,
        help_text=gettext_lazy("All pages show times in this zone. An export lets you choose another one."),
    )

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        zones = [(name, name.replace("_", " ")) for name in list_zones()]
        self.fields["time_zone"].choices = [("", _("As in the browser")), *zones]  # type: ignore[attr-defined]


@require_http_methods(["GET", "POST"])
def profile(request: HttpRequest) -> HttpResponse:
    chosen: Preferences = request.staff_preferences  # type: ignore[attr-defined]
    form = ProfileForm(request.POST or None, initial={"time_zone": chosen.zone_name})
    if request.method == "POST" and form.is_valid():
        assert request.user.pk is not None
        try:
            save_time_zone(user_id=request.user.pk, time_zone=form.cleaned_data["time_zone"])
        except OperationRefused as refused:
            form.add_error("time_zone", str(refused))
        else:
            messages.success(request, _("Your profile is saved."))
            return redirect("staff_profile")
    context = {**admin.site.each_context(request), "title": _("Profile"), "form": with_theme_widgets(form)}
    return TemplateResponse(request, "staff/profile.html", context, status=422 if form.errors else 200)
