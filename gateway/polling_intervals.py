"""The intervals at which a channel is polled about a payment or refund that stays open: after a minute, then at
intervals that double up to six hours."""

# The first poll. The channel's webhook usually comes earlier.
FIRST_POLL_SECONDS = 60
# The interval after the n-th poll is POLL_BASE_SECONDS * 2^n; n counts from 0.
POLL_BASE_SECONDS = 60
LONGEST_POLL_INTERVAL_SECONDS = 6 * 3600
