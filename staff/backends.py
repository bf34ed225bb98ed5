"""The signed-in person, read together with what they have chosen for the back office: one statement for both."""

from typing import Any

from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import User


class StaffBackend(ModelBackend):
    def get_user(self, user_id: Any) -> User | None:
        user = User.objects.select_related("preferences").filter(pk=user_id).first()
        return user if user is not None and self.user_can_authenticate(user) else None


BACKEND = f"{StaffBackend.__module__}.{StaffBackend.__qualname__}"  # reads the person of each later request
