"""A payment that ended without money leaves its end in one way only: as a further attempt, with a reference of its own.
No report of a channel and no late worker can do that by a change of status alone."""

from django.db import migrations

PAYMENT = """
CREATE OR REPLACE FUNCTION payment_moves_on() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (OLD.payment_no, OLD.merchant_id, OLD.environment, OLD.order_no, OLD.amount_minor, OLD.currency)
       IS DISTINCT FROM
       (NEW.payment_no, NEW.merchant_id, NEW.environment, NEW.order_no, NEW.amount_minor, NEW.currency) THEN
        RAISE EXCEPTION 'payment %% cannot change what it is', OLD.payment_no
            USING ERRCODE = 'check_violation', CONSTRAINT = 'payment_identity_fixed';
    END IF;
    IF OLD.status <> NEW.status AND NOT (
        (OLD.status = 'pending'
            AND NEW.status IN ('processing', 'authorized', 'succeeded', 'failed', 'cancelled', 'expired'))
        OR (OLD.status = 'processing'
            AND NEW.status IN ('authorized', 'succeeded', 'failed', 'cancelled', 'expired'))
        OR (OLD.status = 'authorized' AND NEW.status IN ('succeeded', 'failed', 'cancelled', 'expired'))
        %s
    ) THEN
        RAISE EXCEPTION 'payment %% is %% and cannot become %%', OLD.payment_no, OLD.status, NEW.status
            USING ERRCODE = 'check_violation', CONSTRAINT = 'payment_status_moves_on';
    END IF;
    RETURN NEW;
END $$;
"""
TRIED_AGAIN = """OR (OLD.status IN ('failed', 'cancelled', 'expired') AND NEW.status = 'pending'
            AND OLD.captured_minor = 0 AND NEW.captured_minor = 0
            AND NEW.channel_reference <> OLD.channel_reference)"""


class Migration(migrations.Migration):
    dependencies = [("gateway", "0012a_attempt_opened_by_online"), ("orders", "0006_reopened")]
    operations = [migrations.RunSQL(PAYMENT % TRIED_AGAIN, PAYMENT % "")]
