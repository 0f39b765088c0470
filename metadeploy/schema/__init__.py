"""The platform's facts as data: types, elements, values, OAuth scopes.

Nothing here decides; rules, diff and the emulated org look things up.
"""

from metadeploy.schema.paths import manifest_type, path_of, ref_of, root_name
from metadeploy.schema.tables import (
    Field,
    MetadataType,
    canonical_scope,
    enum,
    enum_since,
    fields,
    item_key,
    metadata_types,
    oauth_scope,
    scopes,
)

__all__ = [
    "Field",
    "MetadataType",
    "canonical_scope",
    "enum",
    "enum_since",
    "fields",
    "item_key",
    "manifest_type",
    "metadata_types",
    "oauth_scope",
    "path_of",
    "ref_of",
    "root_name",
    "scopes",
]
