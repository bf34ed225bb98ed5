"""Single sign-on of staff with OpenID Connect (docs/BACKOFFICE.md, "Single sign-on")."""

from django.core.exceptions import ImproperlyConfigured

from payment_platform.settings.base import LOCAL_STACK, env

# The provider's issuer, exactly as its discovery document has it. Empty: no single sign-on.
OIDC_ISSUER: str = env.str("OIDC_ISSUER", default="")
# The client that the provider knows this back office by. Its redirect address is
# `PUBLIC_BASE_URL` + `/admin/single-sign-on/callback/`.
OIDC_CLIENT_ID: str = env.str("OIDC_CLIENT_ID", default="")
# The client's secret, from the provider.
OIDC_CLIENT_SECRET: str = env.str("OIDC_CLIENT_SECRET", default="")
# The name of the provider on the sign-in page.
OIDC_NAME: str = env.str("OIDC_NAME", default="single sign-on")
# The scopes that are requested.
OIDC_SCOPES: list[str] = env.list("OIDC_SCOPES", default=["openid", "email", "profile"])
# The claim that lists a person's groups. Dots lead into objects: `realm_access.roles`.
OIDC_GROUPS_CLAIM: str = env.str("OIDC_GROUPS_CLAIM", default="groups")
# The role of each group, as `group=Role`. A person without a group of this list gets no access.
OIDC_GROUP_ROLES: dict[str, str] = env.dict("OIDC_GROUP_ROLES", default={})
# Values of the claim `amr`, one of which proves a second factor. `*`: the provider demands one from everybody.
OIDC_AMR_VALUES: list[str] = env.list("OIDC_AMR_VALUES", default=["mfa"])
# Values of the claim `acr`, one of which proves a second factor too. They are requested.
OIDC_ACR_VALUES: list[str] = env.list("OIDC_ACR_VALUES", default=[])
# How long ago the provider may have checked the person, at a sign-in. 0: as long as the provider wants.
OIDC_MAX_AGE_SECONDS: int = env.int("OIDC_MAX_AGE_SECONDS", default=0)
# By how much the provider's clock may differ from ours.
OIDC_CLOCK_SKEW_SECONDS: int = env.int("OIDC_CLOCK_SKEW_SECONDS", default=60)
# The provider's accounts have only addresses that it has checked, though it does not send `email_verified`.
OIDC_EMAIL_TRUSTED: bool = env.bool("OIDC_EMAIL_TRUSTED", default=False)
# How long a sign-in waits for one answer of the provider.
OIDC_TIMEOUT_SECONDS: float = env.float("OIDC_TIMEOUT_SECONDS", default=5.0)
# User names that may sign in with password or passkey. Empty: everybody. Others then use single sign-on.
STAFF_BREAK_GLASS_ACCOUNTS: list[str] = env.list("STAFF_BREAK_GLASS_ACCOUNTS", default=[])

if OIDC_ISSUER and not (OIDC_CLIENT_ID and OIDC_CLIENT_SECRET and OIDC_GROUP_ROLES):
    raise ImproperlyConfigured("OIDC_ISSUER needs OIDC_CLIENT_ID, OIDC_CLIENT_SECRET and OIDC_GROUP_ROLES.")
if OIDC_ISSUER and not (OIDC_ISSUER.startswith("https://") or LOCAL_STACK):
    raise ImproperlyConfigured("OIDC_ISSUER must begin with https://.")
if OIDC_ISSUER and "openid" not in OIDC_SCOPES:
    raise ImproperlyConfigured("OIDC_SCOPES must contain openid.")
if OIDC_ISSUER and not (OIDC_AMR_VALUES or OIDC_ACR_VALUES):
    raise ImproperlyConfigured(
        "OIDC_AMR_VALUES or OIDC_ACR_VALUES must say how the provider proves a second factor."
    )
if STAFF_BREAK_GLASS_ACCOUNTS and not OIDC_ISSUER:
    raise ImproperlyConfigured("STAFF_BREAK_GLASS_ACCOUNTS needs OIDC_ISSUER: nobody else could sign in.")
