"""What others show of us: code hosts, their pull requests, and test reports. Pure."""
