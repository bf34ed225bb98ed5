"""Makes versions and assignments of fee plans, and statements, append-only; a change of a plan is decided once."""

from django.db import migrations

FORWARD = """
CREATE FUNCTION fees_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER fee_plan_versions_append_only BEFORE UPDATE OR DELETE ON fee_plan_versions
    FOR EACH ROW EXECUTE FUNCTION fees_refuse_change();
CREATE TRIGGER fee_plan_assignments_append_only BEFORE UPDATE OR DELETE ON fee_plan_assignments
    FOR EACH ROW EXECUTE FUNCTION fees_refuse_change();
CREATE TRIGGER fee_plan_versions_not_truncated BEFORE TRUNCATE ON fee_plan_versions
    FOR EACH STATEMENT EXECUTE FUNCTION fees_refuse_change();
CREATE TRIGGER fee_plan_assignments_not_truncated BEFORE TRUNCATE ON fee_plan_assignments
    FOR EACH STATEMENT EXECUTE FUNCTION fees_refuse_change();

CREATE TRIGGER merchant_statements_append_only BEFORE UPDATE OR DELETE ON merchant_statements
    FOR EACH ROW EXECUTE FUNCTION fees_refuse_change();
CREATE TRIGGER merchant_statements_not_truncated BEFORE TRUNCATE ON merchant_statements
    FOR EACH STATEMENT EXECUTE FUNCTION fees_refuse_change();

CREATE FUNCTION fee_plan_change_decided_once() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.state <> 'pending' OR (OLD.plan_name, OLD.merchant_id, OLD.terms, OLD.valid_from, OLD.requested_by)
            IS DISTINCT FROM (NEW.plan_name, NEW.merchant_id, NEW.terms, NEW.valid_from, NEW.requested_by) THEN
        RAISE EXCEPTION 'a change of a fee plan is decided once and never edited'
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER fee_plan_change_decided_once BEFORE UPDATE ON fee_plan_changes
    FOR EACH ROW EXECUTE FUNCTION fee_plan_change_decided_once();
"""

BACKWARD = """
DROP TRIGGER fee_plan_change_decided_once ON fee_plan_changes;
DROP TRIGGER merchant_statements_not_truncated ON merchant_statements;
DROP TRIGGER merchant_statements_append_only ON merchant_statements;
DROP TRIGGER fee_plan_assignments_not_truncated ON fee_plan_assignments;
DROP TRIGGER fee_plan_versions_not_truncated ON fee_plan_versions;
DROP TRIGGER fee_plan_assignments_append_only ON fee_plan_assignments;
DROP TRIGGER fee_plan_versions_append_only ON fee_plan_versions;
DROP FUNCTION fee_plan_change_decided_once();
DROP FUNCTION fees_refuse_change();
"""


class Migration(migrations.Migration):
    dependencies = [("fees", "0001_initial")]
    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
