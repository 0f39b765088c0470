"""Plan and deploy Salesforce connected apps, their keys, and who may use them."""

__version__ = "0.1.0"
