"""The simulator's ledger cannot be changed."""

from django.db import migrations

FORWARD = """
CREATE FUNCTION simulator_ledger_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'simulator_ledger is append-only' USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER simulator_ledger_append_only BEFORE UPDATE OR DELETE ON simulator_ledger
    FOR EACH ROW EXECUTE FUNCTION simulator_ledger_refuse();
"""

BACKWARD = """
DROP TRIGGER simulator_ledger_append_only ON simulator_ledger;
DROP FUNCTION simulator_ledger_refuse();
"""


class Migration(migrations.Migration):
    dependencies = [("simulator", "0001_initial")]
    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
