"""Refuses what would pay twice: a payout that changes its amount, account or direction, and a second or changed file."""

from django.db import migrations

FORWARD = """
CREATE FUNCTION payout_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (NEW.payout_no, NEW.run_id, NEW.merchant_id, NEW.environment, NEW.currency, NEW.amount_minor, NEW.payable_minor,
        NEW.bank_account_id) IS DISTINCT FROM
       (OLD.payout_no, OLD.run_id, OLD.merchant_id, OLD.environment, OLD.currency, OLD.amount_minor, OLD.payable_minor,
        OLD.bank_account_id) THEN
        RAISE EXCEPTION 'payout %: amount, merchant and account never change', OLD.payout_no
            USING ERRCODE = 'restrict_violation';
    END IF;
    IF NEW.status <> OLD.status AND (OLD.status, NEW.status) NOT IN (
        ('pending', 'in_transit'), ('pending', 'canceled'), ('in_transit', 'paid'), ('in_transit', 'failed'),
        ('in_transit', 'returned'), ('paid', 'returned'), ('failed', 'paid')) THEN
        RAISE EXCEPTION 'payout %: % does not become %', OLD.payout_no, OLD.status, NEW.status
            USING ERRCODE = 'restrict_violation';
    END IF;
    IF NEW.status = 'in_transit' AND NOT EXISTS (SELECT FROM payout_files WHERE run_id = NEW.run_id) THEN
        RAISE EXCEPTION 'payout %: its run has no file', OLD.payout_no USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER payout_guard BEFORE UPDATE ON payouts FOR EACH ROW EXECUTE FUNCTION payout_guard();

CREATE FUNCTION payout_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% does not change', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END $$;
CREATE FUNCTION payout_file_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (NEW.run_id, NEW.sha256, NEW.name, NEW.media_type) IS DISTINCT FROM
       (OLD.run_id, OLD.sha256, OLD.name, OLD.media_type) THEN
        RAISE EXCEPTION 'payout file % does not change', OLD.name USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER payout_files_fixed BEFORE UPDATE ON payout_files
    FOR EACH ROW EXECUTE FUNCTION payout_file_guard();
CREATE TRIGGER payout_files_kept BEFORE DELETE ON payout_files
    FOR EACH ROW EXECUTE FUNCTION payout_refuse_change();
CREATE TRIGGER payouts_kept BEFORE DELETE ON payouts FOR EACH ROW EXECUTE FUNCTION payout_refuse_change();

CREATE FUNCTION bank_account_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (NEW.merchant_id, NEW.environment, NEW.currency, NEW.kind, NEW.hint, NEW.requested_by) IS DISTINCT FROM
       (OLD.merchant_id, OLD.environment, OLD.currency, OLD.kind, OLD.hint, OLD.requested_by) THEN
        RAISE EXCEPTION 'bank account %: details never change, add another one', OLD.id
            USING ERRCODE = 'restrict_violation';
    END IF;
    IF NEW.status <> OLD.status AND (OLD.status, NEW.status) NOT IN (
        ('awaiting_approval', 'active'), ('awaiting_approval', 'rejected'), ('active', 'replaced')) THEN
        RAISE EXCEPTION 'bank account %: % does not become %', OLD.id, OLD.status, NEW.status
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER bank_account_guard BEFORE UPDATE ON payout_bank_accounts
    FOR EACH ROW EXECUTE FUNCTION bank_account_guard();
"""

BACKWARD = """
DROP TRIGGER bank_account_guard ON payout_bank_accounts;
DROP TRIGGER payouts_kept ON payouts;
DROP TRIGGER payout_files_kept ON payout_files;
DROP TRIGGER payout_files_fixed ON payout_files;
DROP TRIGGER payout_guard ON payouts;
DROP FUNCTION bank_account_guard();
DROP FUNCTION payout_file_guard();
DROP FUNCTION payout_refuse_change();
DROP FUNCTION payout_guard();
"""


class Migration(migrations.Migration):
    dependencies = [("payouts", "0001_initial")]
    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
