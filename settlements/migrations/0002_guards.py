"""Keeps statements as they were imported, and a decision as it was made."""

from django.db import migrations

FORWARD = """
CREATE FUNCTION statement_line_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'statement lines are kept' USING ERRCODE = 'restrict_violation';
    END IF;
    IF (OLD.id, OLD.file_id, OLD.number, OLD.kind, OLD.gross_minor, OLD.fee_minor, OLD.currency, OLD.reference,
        OLD.channel_no, OLD.line_no, OLD.occurred_at)
       IS DISTINCT FROM
       (NEW.id, NEW.file_id, NEW.number, NEW.kind, NEW.gross_minor, NEW.fee_minor, NEW.currency, NEW.reference,
        NEW.channel_no, NEW.line_no, NEW.occurred_at)
    THEN
        RAISE EXCEPTION 'a statement line keeps what the channel reported' USING ERRCODE = 'restrict_violation';
    END IF;
    IF OLD.state = 'voided' OR NEW.state = 'voided' THEN
        IF NEW.state = 'voided' AND EXISTS (
            SELECT FROM statement_files WHERE id = NEW.file_id AND state = 'voided')
        THEN
            RETURN NEW;
        END IF;
        RAISE EXCEPTION 'the lines of a voided statement are voided, and no others' USING ERRCODE = 'restrict_violation';
    END IF;
    -- A line may have met its expectation together with a line of a statement that is voided.
    IF OLD.state = 'matched' AND (NEW.state <> 'matched' OR NEW.match_id IS DISTINCT FROM OLD.match_id) AND NOT (
        NEW.state = 'in_case' AND EXISTS (
            SELECT FROM statement_expectations WHERE entry_id = OLD.match_id AND state <> 'met'))
    THEN
        RAISE EXCEPTION 'a matched statement line stays matched' USING ERRCODE = 'restrict_violation';
    END IF;
    IF OLD.state = 'in_case' AND NEW.case_id IS DISTINCT FROM OLD.case_id AND EXISTS (
        SELECT FROM settlement_cases WHERE id = OLD.case_id AND state = 'resolved' AND reversed_at IS NULL)
    THEN
        RAISE EXCEPTION 'a line of a resolved case stays in it' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER statement_line_guard BEFORE UPDATE OR DELETE ON statement_lines
    FOR EACH ROW EXECUTE FUNCTION statement_line_guard();

CREATE FUNCTION statement_expectation_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM settlement_cases WHERE id = OLD.case_id AND state = 'resolved' AND reversed_at IS NULL)
    THEN
        RAISE EXCEPTION 'an expectation of a resolved case stays in it' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER statement_expectation_guard BEFORE UPDATE ON statement_expectations
    FOR EACH ROW WHEN (OLD.case_id IS NOT NULL AND NEW.case_id IS DISTINCT FROM OLD.case_id)
    EXECUTE FUNCTION statement_expectation_guard();

CREATE FUNCTION statement_file_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        -- A day that was recorded as empty too early.
        IF OLD.line_count = 0 AND NOT EXISTS (SELECT FROM statement_lines WHERE file_id = OLD.id) THEN
            RETURN OLD;
        END IF;
        RAISE EXCEPTION 'statements are kept' USING ERRCODE = 'restrict_violation';
    END IF;
    IF OLD.sha256 <> NEW.sha256 OR OLD.totals <> NEW.totals OR OLD.line_count <> NEW.line_count
       OR OLD.day <> NEW.day THEN
        RAISE EXCEPTION 'a statement keeps what was imported' USING ERRCODE = 'restrict_violation';
    END IF;
    IF NEW.state <> OLD.state AND (OLD.state, NEW.state) NOT IN (('imported', 'matched'), ('matched', 'posted'),
        ('imported', 'voided'), ('matched', 'voided'), ('posted', 'voided')) THEN
        RAISE EXCEPTION 'a statement does not go from % to %', OLD.state, NEW.state
            USING ERRCODE = 'restrict_violation';
    END IF;
    IF NEW.state IN ('matched', 'posted') AND OLD.state = 'imported' AND EXISTS (
        SELECT FROM statement_lines WHERE file_id = NEW.id AND state = 'new')
    THEN
        RAISE EXCEPTION 'a line of statement % is neither matched nor in a case', NEW.id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'statement_file_settled';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER statement_file_guard BEFORE UPDATE OR DELETE ON statement_files
    FOR EACH ROW EXECUTE FUNCTION statement_file_guard();

CREATE FUNCTION settlement_case_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- Only the note that it was reversed, once.
    IF TG_OP = 'UPDATE' AND OLD.state = 'resolved' AND OLD.reversed_at IS NULL AND NEW.reversed_at IS NOT NULL
       AND to_jsonb(NEW) - 'reversed_at' = to_jsonb(OLD) - 'reversed_at'
    THEN
        RETURN NEW;
    END IF;
    IF TG_OP = 'DELETE' OR OLD.state = 'resolved' THEN
        RAISE EXCEPTION 'a resolved settlement case is kept as it is' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER settlement_case_guard BEFORE UPDATE OR DELETE ON settlement_cases
    FOR EACH ROW EXECUTE FUNCTION settlement_case_guard();
"""

BACKWARD = """
DROP TRIGGER settlement_case_guard ON settlement_cases;
DROP TRIGGER statement_file_guard ON statement_files;
DROP TRIGGER statement_expectation_guard ON statement_expectations;
DROP TRIGGER statement_line_guard ON statement_lines;
DROP FUNCTION settlement_case_guard();
DROP FUNCTION statement_file_guard();
DROP FUNCTION statement_expectation_guard();
DROP FUNCTION statement_line_guard();
"""


class Migration(migrations.Migration):
    dependencies = [("settlements", "0001_initial")]
    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
