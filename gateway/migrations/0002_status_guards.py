"""Allows only the transitions of `gateway/state_machine/transitions.py`, whatever writes. The identity and amount of a
payment or refund never change. Keeps `payments.needs_attention` in step with the open reviews."""

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
        OR (OLD.status IN ('failed', 'cancelled', 'expired') AND NEW.status = 'pending'
            AND OLD.captured_minor = 0 AND NEW.captured_minor = 0
            AND NEW.channel_reference <> OLD.channel_reference)
    ) THEN
        RAISE EXCEPTION 'payment % is % and cannot become %', OLD.payment_no, OLD.status, NEW.status
            USING ERRCODE = 'check_violation', CONSTRAINT = 'payment_status_moves_on';
    END IF;
    IF NEW.captured_minor < OLD.captured_minor OR (OLD.status = 'authorized' AND OLD.captured_minor > 0
            AND NEW.status IN ('failed', 'cancelled', 'expired')) THEN
        RAISE EXCEPTION 'payment % has captured % and keeps it', OLD.payment_no, OLD.captured_minor
            USING ERRCODE = 'check_violation', CONSTRAINT = 'payment_captured_kept';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER payment_moves_on BEFORE UPDATE ON payments FOR EACH ROW EXECUTE FUNCTION payment_moves_on();

CREATE FUNCTION payment_attempt_moves_on() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT (
        (OLD.status = 'calling' AND NEW.status IN ('open', 'succeeded', 'declined', 'cancelled'))
        OR (OLD.status = 'open' AND NEW.status IN ('succeeded', 'declined', 'cancelled'))
        OR (OLD.status IN ('declined', 'cancelled') AND NEW.status = 'succeeded' AND NEW.duplicate_minor > 0)
    ) THEN
        RAISE EXCEPTION 'attempt % is % and cannot become %', OLD.reference, OLD.status, NEW.status
            USING ERRCODE = 'check_violation', CONSTRAINT = 'payment_attempt_status_moves_on';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER payment_attempt_moves_on BEFORE UPDATE OF status ON payment_attempts FOR EACH ROW
    WHEN (OLD.status <> NEW.status) EXECUTE FUNCTION payment_attempt_moves_on();

CREATE FUNCTION payment_attempt_keeps_its_account() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'attempt % keeps its channel and account', OLD.reference
        USING ERRCODE = 'check_violation', CONSTRAINT = 'payment_attempt_account_fixed';
END $$;
CREATE TRIGGER payment_attempt_account_fixed BEFORE UPDATE OF channel, sandbox, channel_account_id, payment_id
    ON payment_attempts FOR EACH ROW
    WHEN ((OLD.channel, OLD.sandbox, OLD.channel_account_id, OLD.payment_id)
          IS DISTINCT FROM (NEW.channel, NEW.sandbox, NEW.channel_account_id, NEW.payment_id))
    EXECUTE FUNCTION payment_attempt_keeps_its_account();

CREATE FUNCTION payment_account_is_own() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM channel_accounts AS account
        WHERE account.id = NEW.channel_account_id AND account.channel = NEW.channel
            AND account.environment = NEW.environment
            AND (account.merchant_id IS NULL OR account.merchant_id = NEW.merchant_id)
    ) THEN
        RAISE EXCEPTION 'payment % cannot use the account of another merchant', NEW.payment_no
            USING ERRCODE = 'check_violation', CONSTRAINT = 'payment_account_is_own';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER payment_account_is_own BEFORE INSERT OR UPDATE OF channel_account_id ON payments FOR EACH ROW
    WHEN (NEW.channel_account_id IS NOT NULL) EXECUTE FUNCTION payment_account_is_own();

CREATE FUNCTION capture_moves_on() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (OLD.payment_id, OLD.number, OLD.amount_minor, OLD.is_final, OLD.is_made_at_channel)
       IS DISTINCT FROM (NEW.payment_id, NEW.number, NEW.amount_minor, NEW.is_final, NEW.is_made_at_channel) THEN
        RAISE EXCEPTION 'capture % cannot change what it is', OLD.id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'capture_identity_fixed';
    END IF;
    IF OLD.status <> NEW.status AND NOT (OLD.status = 'pending' AND NEW.status IN ('succeeded', 'failed')) THEN
        RAISE EXCEPTION 'capture % is % and cannot become %', OLD.id, OLD.status, NEW.status
            USING ERRCODE = 'check_violation', CONSTRAINT = 'capture_status_moves_on';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER capture_moves_on BEFORE UPDATE ON captures FOR EACH ROW EXECUTE FUNCTION capture_moves_on();

CREATE FUNCTION increment_moves_on() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (OLD.payment_id, OLD.number, OLD.previous_minor, OLD.amount_minor)
       IS DISTINCT FROM (NEW.payment_id, NEW.number, NEW.previous_minor, NEW.amount_minor) THEN
        RAISE EXCEPTION 'authorization increment % cannot change what it is', OLD.id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'increment_identity_fixed';
    END IF;
    IF OLD.status <> NEW.status AND NOT (
        (OLD.status = 'pending' AND NEW.status IN ('succeeded', 'failed'))
        OR (OLD.status = 'failed' AND NEW.status = 'succeeded')
    ) THEN
        RAISE EXCEPTION 'authorization increment % is % and cannot become %', OLD.id, OLD.status, NEW.status
            USING ERRCODE = 'check_violation', CONSTRAINT = 'increment_status_moves_on';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER increment_moves_on BEFORE UPDATE ON authorization_increments
    FOR EACH ROW EXECUTE FUNCTION increment_moves_on();

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
        OR ((OLD.status, NEW.status) IN (('succeeded', 'failed'), ('failed', 'succeeded'))
            AND NEW.previous_status = OLD.status
            AND NEW.contradicted_at IS NOT NULL AND NEW.contradicted_at IS DISTINCT FROM OLD.contradicted_at)
    ) THEN
        RAISE EXCEPTION 'refund % is % and cannot become %', OLD.refund_no, OLD.status, NEW.status
            USING ERRCODE = 'check_violation', CONSTRAINT = 'refund_status_moves_on';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER refund_moves_on BEFORE UPDATE ON refunds FOR EACH ROW EXECUTE FUNCTION refund_moves_on();

CREATE FUNCTION dispute_moves_on() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    stages text[] := ARRAY['inquiry', 'chargeback', 'pre_arbitration', 'arbitration'];
BEGIN
    IF (OLD.dispute_no, OLD.payment_id, OLD.attempt_id, OLD.channel, OLD.channel_account_id, OLD.channel_dispute_no,
        OLD.currency)
       IS DISTINCT FROM
       (NEW.dispute_no, NEW.payment_id, NEW.attempt_id, NEW.channel, NEW.channel_account_id, NEW.channel_dispute_no,
        NEW.currency) THEN
        RAISE EXCEPTION 'dispute % cannot change what it is', OLD.dispute_no
            USING ERRCODE = 'check_violation', CONSTRAINT = 'dispute_identity_fixed';
    END IF;
    IF array_position(stages, NEW.stage::text) < array_position(stages, OLD.stage::text)
       OR (NEW.stage = OLD.stage AND OLD.status IN ('won', 'lost', 'closed')
           AND NEW.status NOT IN ('won', 'lost', 'closed')) THEN
        RAISE EXCEPTION 'dispute % is % (%) and cannot become % (%)',
            OLD.dispute_no, OLD.status, OLD.stage, NEW.status, NEW.stage
            USING ERRCODE = 'check_violation', CONSTRAINT = 'dispute_moves_on';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER dispute_moves_on BEFORE UPDATE ON disputes FOR EACH ROW EXECUTE FUNCTION dispute_moves_on();

CREATE FUNCTION payment_reviews_follow() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE payments SET needs_attention = found.open > 0, attention_reason = found.reasons, updated_at = now()
    FROM (
        SELECT count(*) AS open, COALESCE(string_agg(text, '; ' ORDER BY opened_at, id), '') AS reasons
        FROM payment_reviews WHERE payment_id = NEW.payment_id AND resolved_at IS NULL
    ) AS found
    WHERE payments.id = NEW.payment_id;
    RETURN NULL;
END $$;
CREATE TRIGGER payment_reviews_follow AFTER INSERT OR UPDATE ON payment_reviews
    FOR EACH ROW EXECUTE FUNCTION payment_reviews_follow();
"""

BACKWARD = """
DROP TRIGGER dispute_moves_on ON disputes;
DROP FUNCTION dispute_moves_on();
DROP TRIGGER increment_moves_on ON authorization_increments;
DROP TRIGGER capture_moves_on ON captures;
DROP FUNCTION increment_moves_on();
DROP FUNCTION capture_moves_on();
DROP TRIGGER payment_reviews_follow ON payment_reviews;
DROP FUNCTION payment_reviews_follow();
DROP TRIGGER refund_moves_on ON refunds;
DROP TRIGGER payment_attempt_moves_on ON payment_attempts;
DROP TRIGGER payment_account_is_own ON payments;
DROP TRIGGER payment_attempt_account_fixed ON payment_attempts;
DROP TRIGGER payment_moves_on ON payments;
DROP FUNCTION payment_account_is_own();
DROP FUNCTION payment_attempt_keeps_its_account();
DROP FUNCTION refund_moves_on();
DROP FUNCTION payment_attempt_moves_on();
DROP FUNCTION payment_moves_on();
"""


class Migration(migrations.Migration):
    dependencies = [("gateway", "0001_initial")]
    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
