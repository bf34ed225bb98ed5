"""Refuses updates of the history and status changes that are not in `SAGA_TRANSITIONS`; keeps `retry_at` in step."""

from django.db import migrations

FORWARD = """
CREATE FUNCTION refuse_update() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER saga_events_append_only BEFORE UPDATE ON saga_events
    FOR EACH ROW EXECUTE FUNCTION refuse_update();

CREATE FUNCTION saga_status_moves_on() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT (
        (OLD.status = 'pending' AND NEW.status = 'in_progress')
        OR (OLD.status = 'in_progress' AND NEW.status IN ('completed', 'compensated', 'failed'))
        OR (OLD.status = 'failed' AND NEW.status = 'in_progress' AND OLD.needs_attention)
    ) THEN
        RAISE EXCEPTION 'saga % is % and cannot become %', OLD.id, OLD.status, NEW.status
            USING ERRCODE = 'check_violation', CONSTRAINT = 'saga_status_moves_on';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER saga_status_moves_on BEFORE UPDATE OF status ON saga_instances
    FOR EACH ROW WHEN (OLD.status <> NEW.status) EXECUTE FUNCTION saga_status_moves_on();

CREATE FUNCTION keep_saga_retry_at() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    earliest timestamptz;
BEGIN
    SELECT min(next_retry_at) INTO earliest FROM saga_steps WHERE saga_id = NEW.saga_id;
    UPDATE saga_instances SET retry_at = earliest
    WHERE id = NEW.saga_id AND retry_at IS DISTINCT FROM earliest;
    RETURN NULL;
END $$;
CREATE TRIGGER saga_steps_retry_inserted AFTER INSERT ON saga_steps
    FOR EACH ROW WHEN (NEW.next_retry_at IS NOT NULL) EXECUTE FUNCTION keep_saga_retry_at();
CREATE TRIGGER saga_steps_retry_updated AFTER UPDATE ON saga_steps
    FOR EACH ROW WHEN (OLD.next_retry_at IS DISTINCT FROM NEW.next_retry_at) EXECUTE FUNCTION keep_saga_retry_at();
"""

BACKWARD = """
DROP TRIGGER saga_steps_retry_inserted ON saga_steps;
DROP TRIGGER saga_steps_retry_updated ON saga_steps;
DROP FUNCTION keep_saga_retry_at();
DROP TRIGGER saga_status_moves_on ON saga_instances;
DROP FUNCTION saga_status_moves_on();
DROP TRIGGER saga_events_append_only ON saga_events;
DROP FUNCTION refuse_update();
"""


class Migration(migrations.Migration):
    dependencies = [("sagas", "0001_initial")]
    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
