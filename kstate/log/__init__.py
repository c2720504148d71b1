"""Where records live: topics of partitions, transactions, and groups that share them out."""
