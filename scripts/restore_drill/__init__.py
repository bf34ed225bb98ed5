"""The restore drill: `./scripts/restore-drill.sh`.

drill       the steps in their order
backup      base backup, stream of the WAL to a second place, restore to a moment
load        a merchant's program that remembers every answer
books       compares what was confirmed to the merchant, the bank's books and ours
report      the table at the end
"""
