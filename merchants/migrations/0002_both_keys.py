"""Adds the deferred triggers that refuse a merchant without a test key and a live key."""

from django.db import migrations

FORWARD = """
CREATE FUNCTION merchants_have_both_keys() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    merchant uuid := CASE TG_TABLE_NAME
        WHEN 'merchants' THEN (to_jsonb(NEW) ->> 'id')::uuid
        ELSE (to_jsonb(OLD) ->> 'merchant_id')::uuid
    END;
BEGIN
    IF EXISTS (SELECT FROM merchants WHERE id = merchant)
        AND (SELECT count(DISTINCT environment) FROM api_keys WHERE merchant_id = merchant) < 2
    THEN
        RAISE EXCEPTION 'merchant % must have a test key and a live key', merchant
            USING ERRCODE = 'check_violation', CONSTRAINT = 'merchant_has_both_keys';
    END IF;
    RETURN NULL;
END $$;

CREATE CONSTRAINT TRIGGER merchant_has_both_keys AFTER INSERT ON merchants
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION merchants_have_both_keys();
CREATE CONSTRAINT TRIGGER merchant_keeps_both_keys AFTER DELETE OR UPDATE OF merchant_id, environment ON api_keys
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION merchants_have_both_keys();
"""

BACKWARD = """
DROP TRIGGER merchant_keeps_both_keys ON api_keys;
DROP TRIGGER merchant_has_both_keys ON merchants;
DROP FUNCTION merchants_have_both_keys();
"""


class Migration(migrations.Migration):
    dependencies = [("merchants", "0001_initial")]
    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
