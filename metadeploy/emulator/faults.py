"""Refusals, in the platform's words, before any protocol dresses them."""

from __future__ import annotations


class Fault(Exception):
    """What the org answers instead of doing what it was asked.

    code: exception code or status code, such as "INVALID_SESSION_ID", no prefix.
    fields: the fields it is about, as REST and SaveResult name them.
    status: the HTTP status REST answers, where the code alone does not say.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        fields: tuple[str, ...] = (),
        status: int | None = None,
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.fields = fields
        self.status = status


class OAuthFault(Exception):
    """A refusal at an OAuth endpoint: its error, its description, HTTP status."""

    def __init__(self, error: str, description: str, *, status: int = 400) -> None:
        super().__init__(f"{error}: {description}")
        self.error = error
        self.description = description
        self.status = status
