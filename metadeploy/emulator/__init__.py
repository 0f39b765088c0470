"""A Salesforce small enough to read: orgs, the rules they judge by, and their wire."""
