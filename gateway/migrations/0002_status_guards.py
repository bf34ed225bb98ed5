"""Which status may follow which, for whoever writes. A terminal status is never left; a payment's identity and
amount never change."""

from django.db import migrations

FORWARD = """
CREATE FUNCTION payment_moves_on() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (OLD.payment_no, OLD.merchant_id, OLD.environment, OLD.order_no, OLD.amount_minor, OLD.currency)
       IS DISTINCT FROM
       (NEW.payment_no, NEW.merchant_id, NEW.environment, NEW.order_no, NEW.amount_minor, NEW.currency) THEN
        RAISE EXCEPTION 'payment % cannot change what it is', OLD.payment_no
            USING ERRCODE = 'check_violation', CONSTRAINT = 'payment_identity_fixed';
    END IF;
    IF OLD.status <> NEW.status AND NOT (
        (OLD.status = 'pending'
            AND NEW.status IN ('processing', 'authorized', 'succeeded', 'failed', 'cancelled', 'expired'))
        OR (OLD.status = 'processing'
            AND NEW.status IN ('authorized', 'succeeded', 'failed', 'cancelled', 'expired'))
        OR (OLD.status = 'authorized' AND NEW.status IN ('succeeded', 'failed', 'cancelled', 'expired'))
    ) THEN
        RAISE EXCEPTION 'payment % is % and cannot become %', OLD.payment_no, OLD.status, NEW.status
            USING ERRCODE = 'check_violation', CONSTRAINT = 'payment_status_moves_on';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER payment_moves_on BEFORE UPDATE ON payments FOR EACH ROW EXECUTE FUNCTION payment_moves_on();

CREATE FUNCTION refund_moves_on() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (OLD.refund_no, OLD.payment_id, OLD.amount_minor, OLD.currency)
       IS DISTINCT FROM (NEW.refund_no, NEW.payment_id, NEW.amount_minor, NEW.currency) THEN
        RAISE EXCEPTION 'refund % cannot change what it is', OLD.refund_no
            USING ERRCODE = 'check_violation', CONSTRAINT = 'refund_identity_fixed';
    END IF;
    IF OLD.status <> NEW.status AND NOT (
        (OLD.status = 'pending' AND NEW.status IN ('processing', 'succeeded', 'failed'))
        OR (OLD.status = 'processing' AND NEW.status IN ('succeeded', 'failed'))
    ) THEN
        RAISE EXCEPTION 'refund % is % and cannot become %', OLD.refund_no, OLD.status, NEW.status
            USING ERRCODE = 'check_violation', CONSTRAINT = 'refund_status_moves_on';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER refund_moves_on BEFORE UPDATE ON refunds FOR EACH ROW EXECUTE FUNCTION refund_moves_on();
"""

BACKWARD = """
DROP TRIGGER refund_moves_on ON refunds;
DROP TRIGGER payment_moves_on ON payments;
DROP FUNCTION refund_moves_on();
DROP FUNCTION payment_moves_on();
"""


class Migration(migrations.Migration):
    dependencies = [("gateway", "0001_initial")]
    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
