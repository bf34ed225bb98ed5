"""Items add up to their order's amount; an order's status changes only as `ORDER_TRANSITIONS` says."""

from django.db import migrations

FORWARD = """
CREATE FUNCTION require_items_that_add_up(checked uuid) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    wanted bigint;
    items int;
    total bigint;
BEGIN
    SELECT amount_minor INTO wanted FROM orders WHERE id = checked;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    SELECT count(*), COALESCE(sum(amount_minor), 0) INTO items, total FROM order_items WHERE order_id = checked;
    IF items = 0 OR total <> wanted THEN
        RAISE EXCEPTION 'order % has % items of % in all, not of %', checked, items, total, wanted
            USING ERRCODE = 'check_violation', CONSTRAINT = 'order_items_add_up';
    END IF;
END $$;

CREATE FUNCTION order_items_add_up() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM require_items_that_add_up(NEW.id);
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER order_items_add_up AFTER INSERT OR UPDATE OF amount_minor ON orders
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION order_items_add_up();

CREATE FUNCTION order_items_still_add_up() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'INSERT' THEN
        PERFORM require_items_that_add_up(OLD.order_id);
    END IF;
    IF TG_OP <> 'DELETE' THEN
        PERFORM require_items_that_add_up(NEW.order_id);
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER order_items_still_add_up AFTER INSERT OR UPDATE OR DELETE ON order_items
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION order_items_still_add_up();

CREATE FUNCTION order_status_moves_on() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.status <> NEW.status AND NOT (
        (OLD.status = 'pending' AND NEW.status IN ('paid', 'cancelled'))
        OR (OLD.status = 'cancelled' AND NEW.status = 'pending' AND OLD.withdrawn_at IS NULL)
    ) THEN
        RAISE EXCEPTION 'order % is % and cannot become %', OLD.order_no, OLD.status, NEW.status
            USING ERRCODE = 'check_violation', CONSTRAINT = 'order_status_moves_on';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER order_status_moves_on BEFORE UPDATE OF status ON orders
    FOR EACH ROW EXECUTE FUNCTION order_status_moves_on();
"""

BACKWARD = """
DROP TRIGGER order_status_moves_on ON orders;
DROP TRIGGER order_items_still_add_up ON order_items;
DROP TRIGGER order_items_add_up ON orders;
DROP FUNCTION order_status_moves_on();
DROP FUNCTION order_items_still_add_up();
DROP FUNCTION order_items_add_up();
DROP FUNCTION require_items_that_add_up(uuid);
"""


class Migration(migrations.Migration):
    dependencies = [("orders", "0001_initial")]
    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
