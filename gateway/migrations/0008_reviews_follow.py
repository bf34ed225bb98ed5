"""A payment's attention columns follow its open reviews. A settled refund changes its outcome only together with
`contradicted_at`: that is, when the channel has reported the other one."""

from django.db import migrations

REVIEWS = """
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
NO_REVIEWS = """
DROP TRIGGER payment_reviews_follow ON payment_reviews;
DROP FUNCTION payment_reviews_follow();
"""

REFUND = """
CREATE OR REPLACE FUNCTION refund_moves_on() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (OLD.refund_no, OLD.payment_id, OLD.amount_minor, OLD.currency)
       IS DISTINCT FROM (NEW.refund_no, NEW.payment_id, NEW.amount_minor, NEW.currency) THEN
        RAISE EXCEPTION 'refund %% cannot change what it is', OLD.refund_no
            USING ERRCODE = 'check_violation', CONSTRAINT = 'refund_identity_fixed';
    END IF;
    IF OLD.status <> NEW.status AND NOT (
        (OLD.status = 'pending' AND NEW.status IN ('processing', 'succeeded', 'failed'))
        OR (OLD.status = 'processing' AND NEW.status IN ('succeeded', 'failed'))
        %s
    ) THEN
        RAISE EXCEPTION 'refund %% is %% and cannot become %%', OLD.refund_no, OLD.status, NEW.status
            USING ERRCODE = 'check_violation', CONSTRAINT = 'refund_status_moves_on';
    END IF;
    RETURN NEW;
END $$;
"""
OUTCOME_CHANGES = """OR ((OLD.status, NEW.status) IN (('succeeded', 'failed'), ('failed', 'succeeded'))
            AND NEW.previous_status = OLD.status
            AND NEW.contradicted_at IS NOT NULL AND NEW.contradicted_at IS DISTINCT FROM OLD.contradicted_at)"""


class Migration(migrations.Migration):
    dependencies = [("gateway", "0007a_reviews_online")]
    operations = [
        migrations.RunSQL(REVIEWS, NO_REVIEWS),
        migrations.RunSQL((REFUND % OUTCOME_CHANGES), (REFUND % "")),
    ]
