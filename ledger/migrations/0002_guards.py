"""Makes the ledger append-only, and refuses a transfer that does not balance.

A transfer is checked twice: when its entries are inserted, so that nothing is added to it later, and at the end of its
transaction, so that none exists without entries.
"""

from django.db import migrations

FORWARD = """
CREATE FUNCTION ledger_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER ledger_accounts_fixed BEFORE UPDATE OR DELETE ON ledger_accounts
    FOR EACH ROW EXECUTE FUNCTION ledger_refuse_change();
CREATE TRIGGER ledger_transfers_append_only BEFORE UPDATE OR DELETE ON ledger_transfers
    FOR EACH ROW EXECUTE FUNCTION ledger_refuse_change();
CREATE TRIGGER ledger_entries_append_only BEFORE UPDATE OR DELETE ON ledger_entries
    FOR EACH ROW EXECUTE FUNCTION ledger_refuse_change();
CREATE TRIGGER daily_closes_append_only BEFORE UPDATE OR DELETE ON daily_closes
    FOR EACH ROW EXECUTE FUNCTION ledger_refuse_change();
CREATE TRIGGER ledger_accounts_not_truncated BEFORE TRUNCATE ON ledger_accounts
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();
CREATE TRIGGER ledger_transfers_not_truncated BEFORE TRUNCATE ON ledger_transfers
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();
CREATE TRIGGER ledger_entries_not_truncated BEFORE TRUNCATE ON ledger_entries
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();
CREATE TRIGGER daily_closes_not_truncated BEFORE TRUNCATE ON daily_closes
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();

CREATE FUNCTION ledger_require_balance(wanted ledger_transfers) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    legs bigint;
    is_balanced boolean;
BEGIN
    SELECT coalesce(sum(each.legs), 0), coalesce(bool_and(each.difference = 0 AND each.is_own), false)
    INTO legs, is_balanced
    FROM (
        SELECT count(*) AS legs,
               sum(CASE entry.direction WHEN 'debit' THEN entry.amount_minor ELSE -entry.amount_minor END) AS difference,
               bool_and(account.environment = wanted.environment
                   AND (account.merchant_id IS NULL
                       OR account.merchant_id IS NOT DISTINCT FROM wanted.merchant_id)) AS is_own
        FROM ledger_entries AS entry JOIN ledger_accounts AS account ON account.id = entry.account_id
        WHERE entry.transfer_id = wanted.id
        GROUP BY account.currency, entry.phase
    ) AS each;
    IF NOT is_balanced OR legs <> wanted.leg_count THEN
        RAISE EXCEPTION 'ledger transfer % (% %) does not balance', wanted.id, wanted.event, wanted.source
            USING ERRCODE = 'check_violation', CONSTRAINT = 'ledger_transfer_balances';
    END IF;
END $$;

CREATE FUNCTION ledger_transfer_balances() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM ledger_require_balance(NEW);
    IF NEW.pending_id IS NOT NULL AND (
        NOT EXISTS (
            SELECT FROM ledger_transfers
            WHERE id = NEW.pending_id AND kind = 'pending' AND subject_id = NEW.subject_id)
        OR EXISTS (
            SELECT FROM ledger_entries
            WHERE transfer_id IN (NEW.id, NEW.pending_id) AND phase = 'pending'
            GROUP BY account_id
            HAVING sum(CASE direction WHEN 'debit' THEN amount_minor ELSE -amount_minor END) <> 0)
    ) THEN
        RAISE EXCEPTION 'ledger transfer % does not release its pending transfer', NEW.id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'ledger_pending_released';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER ledger_transfer_balances AFTER INSERT ON ledger_transfers
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION ledger_transfer_balances();

CREATE FUNCTION ledger_entries_balance() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM ledger_require_balance(transfer)
    FROM ledger_transfers AS transfer WHERE transfer.id IN (SELECT transfer_id FROM added);
    RETURN NULL;
END $$;
CREATE TRIGGER ledger_entries_balance AFTER INSERT ON ledger_entries
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION ledger_entries_balance();
"""

BACKWARD = """
DROP TRIGGER ledger_entries_balance ON ledger_entries;
DROP TRIGGER ledger_transfer_balances ON ledger_transfers;
DROP TRIGGER daily_closes_not_truncated ON daily_closes;
DROP TRIGGER ledger_entries_not_truncated ON ledger_entries;
DROP TRIGGER ledger_transfers_not_truncated ON ledger_transfers;
DROP TRIGGER ledger_accounts_not_truncated ON ledger_accounts;
DROP TRIGGER daily_closes_append_only ON daily_closes;
DROP TRIGGER ledger_entries_append_only ON ledger_entries;
DROP TRIGGER ledger_transfers_append_only ON ledger_transfers;
DROP TRIGGER ledger_accounts_fixed ON ledger_accounts;
DROP FUNCTION ledger_entries_balance();
DROP FUNCTION ledger_transfer_balances();
DROP FUNCTION ledger_require_balance(ledger_transfers);
DROP FUNCTION ledger_refuse_change();
"""


class Migration(migrations.Migration):
    dependencies = [("ledger", "0001_initial")]
    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
