"""saga_events is history: it can be pruned, never changed."""

from django.db import migrations

FORWARD = """
CREATE FUNCTION refuse_update() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER saga_events_append_only BEFORE UPDATE ON saga_events
    FOR EACH ROW EXECUTE FUNCTION refuse_update();
"""
BACKWARD = """
DROP TRIGGER saga_events_append_only ON saga_events;
DROP FUNCTION refuse_update();
"""


class Migration(migrations.Migration):
    dependencies = [("sagas", "0001_initial")]
    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
