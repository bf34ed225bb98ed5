"""Adds the trigger that keeps merchant, environment, channel and kind of an account as they are: payments refer to it."""

from django.db import migrations

FORWARD = """
CREATE FUNCTION channel_accounts_keep_their_owner() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'channel account % keeps its merchant, environment, channel and kind for good', OLD.id
        USING ERRCODE = 'check_violation', CONSTRAINT = 'channel_account_owner_fixed';
END $$;

CREATE TRIGGER channel_account_owner_fixed BEFORE UPDATE OF merchant_id, environment, channel, kind ON channel_accounts
    FOR EACH ROW
    WHEN ((OLD.merchant_id, OLD.environment, OLD.channel, OLD.kind)
        IS DISTINCT FROM (NEW.merchant_id, NEW.environment, NEW.channel, NEW.kind))
    EXECUTE FUNCTION channel_accounts_keep_their_owner();
"""

BACKWARD = """
DROP TRIGGER channel_account_owner_fixed ON channel_accounts;
DROP FUNCTION channel_accounts_keep_their_owner();
"""


class Migration(migrations.Migration):
    dependencies = [("channel_accounts", "0001_initial")]
    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
