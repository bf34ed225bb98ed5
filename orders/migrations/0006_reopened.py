"""An order whose payment ended without money can wait for payment again, unless it was cancelled itself."""

from django.db import migrations

STATUS = """
CREATE OR REPLACE FUNCTION order_status_moves_on() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.status <> NEW.status AND OLD.status <> 'pending' %s THEN
        RAISE EXCEPTION 'order %% is %% and cannot become %%', OLD.order_no, OLD.status, NEW.status
            USING ERRCODE = 'check_violation', CONSTRAINT = 'order_status_moves_on';
    END IF;
    RETURN NEW;
END $$;
"""
REOPENED = "AND NOT (OLD.status = 'cancelled' AND NEW.status = 'pending' AND OLD.withdrawn_at IS NULL)"


class Migration(migrations.Migration):
    dependencies = [("orders", "0005_order_withdrawn_at")]
    operations = [migrations.RunSQL(STATUS % REOPENED, STATUS % "")]
