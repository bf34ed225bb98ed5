"""The simulator's ledger cannot be changed, and captures and releases no more than it has authorized."""

from django.db import migrations

FORWARD = """
CREATE FUNCTION simulator_ledger_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'simulator_ledger is append-only' USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER simulator_ledger_append_only BEFORE UPDATE OR DELETE ON simulator_ledger
    FOR EACH ROW EXECUTE FUNCTION simulator_ledger_refuse();

-- The bank holds the lock of the payment's row, so that no other entry of the payment is written meanwhile.
CREATE FUNCTION simulator_ledger_check_held() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.amount > (
        SELECT COALESCE(sum(CASE kind WHEN 'authorize' THEN amount ELSE -amount END), 0)
        FROM simulator_ledger WHERE reference = NEW.reference AND kind IN ('authorize', 'capture', 'void')
    ) THEN
        RAISE EXCEPTION '% of % exceeds what is held for %', NEW.kind, NEW.amount, NEW.reference
            USING ERRCODE = 'check_violation', CONSTRAINT = 'simulator_ledger_held';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER simulator_ledger_held BEFORE INSERT ON simulator_ledger
    FOR EACH ROW WHEN (NEW.kind IN ('capture', 'void')) EXECUTE FUNCTION simulator_ledger_check_held();
"""

BACKWARD = """
DROP TRIGGER simulator_ledger_held ON simulator_ledger;
DROP FUNCTION simulator_ledger_check_held();
DROP TRIGGER simulator_ledger_append_only ON simulator_ledger;
DROP FUNCTION simulator_ledger_refuse();
"""


class Migration(migrations.Migration):
    dependencies = [("simulator", "0001_initial")]
    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
