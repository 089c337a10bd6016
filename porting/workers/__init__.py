"""Workers: jobs in processes of their own, started, limited and forked."""
