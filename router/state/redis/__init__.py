"""The exchange through Redis, or whatever speaks its protocol."""
