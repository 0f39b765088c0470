"""An OS keyring for tests: it forgets, and a lock on it is a flag."""

from keyring.backend import KeyringBackend
from keyring.errors import KeyringLocked


class Memory(KeyringBackend):
    priority = 1

    def __init__(self):
        super().__init__()
        self.entries = {}
        self.locked = False

    def get_password(self, service, username):
        if self.locked:
            raise KeyringLocked("it is locked")
        return self.entries.get((service, username))

    def set_password(self, service, username, password):
        self.entries[service, username] = password

    def delete_password(self, service, username):
        del self.entries[service, username]
