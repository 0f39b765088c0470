"""Rules of the house: what no org refuses, and still should not be deployed."""

from __future__ import annotations

from metadeploy.rules.rule import GUIDE, WSDL, asked, error, warning

FILES = (
    error(
        "MD001",
        "yaml",
        why="The file is no YAML 1.2 of plain values: a key may stand once, tags are "
        "not allowed.",
        remedy="Correct the line that is named.",
        source="YAML 1.2",
    ),
    error(
        "MD002",
        "too-big",
        why="No org file is that large: an alias that multiplies itself, or a mistake.",
        remedy="Make the file smaller.",
        source="metadeploy",
    ),
    error(
        "MD010",
        "org-file",
        why="An org file has keys and values of the published schema, no others.",
        remedy="Correct the key or the value; docs/org.schema.json has them all.",
        source="metadeploy",
    ),
    warning(
        "MD011",
        "no-place-in-client-app",
        why="An External Client App does not have everything that a connected app has.",
        remedy="Take it out, or keep the app a connected app in this org.",
        source=f"{WSDL}; {GUIDE}",
    ),
    error(
        "MD020",
        "template-syntax",
        why="The template is no Jinja2.",
        remedy="Correct the line that is named.",
        source="Jinja2",
    ),
    error(
        "MD021",
        "undefined",
        why="A template may use only what the org's values define, so that nothing is "
        "left out by a slip of the pen.",
        remedy="Add the value to the org's file or to orgs/defaults.yaml.",
        source="metadeploy",
    ),
    error(
        "MD022",
        "template-fault",
        why="The template cannot be rendered with this org's values.",
        remedy="Correct the value or the template.",
        source="metadeploy",
    ),
    error(
        "MD023",
        "template-header",
        why="The first comment of a template may say for_each, as and suppress.",
        remedy="Write for_each: LIST, as: NAME, suppress: RULE because REASON, each on "
        "a line of its own.",
        source="metadeploy",
    ),
)

ORGS = (
    error(
        "MD601",
        "same-org",
        why="Two org files for one org overwrite one another.",
        remedy="Correct the org id, or remove one of the files.",
        source="metadeploy",
    ),
    error(
        "MD602",
        "same-key",
        why="A consumer key can be taken once in all of Salesforce.",
        remedy="Remove the pinned key from one of them: metadeploy derives another.",
        source=f"{GUIDE}, ConnectedAppOauthConfig",
    ),
    error(
        "MD603",
        "suppression",
        why="A suppression names a warning, or a rule of a policy, and says why it may "
        "be broken. What an org would refuse cannot be suppressed.",
        remedy="Correct the rule, or give the reason.",
        source="metadeploy",
    ),
    warning(
        "MD604",
        "suppression-unused",
        why="What it was for is gone; the next problem of that kind would go unseen.",
        remedy="Remove the suppression.",
        source="metadeploy",
    ),
)

SECURITY = (
    warning(
        "MD701",
        "wide-scope",
        why="An app needs the scopes of the calls that it makes. Full and Web hold far "
        "more, and so does a token that is stolen from it.",
        remedy="Name the scopes that the app needs, such as Api. Where it does open "
        "browser sessions, suppress this with that reason.",
        source="Salesforce Help, OAuth Tokens and Scopes",
    ),
    warning(
        "MD702",
        "everybody-may-use",
        why="While all users may approve an app themselves, one of them who is talked "
        "into it lets it read all that they may read, for as long as it refreshes.",
        remedy="Let the app be admin approved, and give access by a permission set.",
        source="Salesforce Help, Manage OAuth Access Policies",
    ),
    warning(
        "MD703",
        "secret-value",
        why="What is named a secret and has a literal value is a secret in git.",
        remedy="Remove it, and change it wherever it is used. Where it is no secret, "
        "suppress this with a reason.",
        source="metadeploy",
    ),
    error(
        "MD704",
        "token",
        why="Whoever reads the repository can log in with it.",
        remedy="Remove it and revoke it: Setup, Session Management or Connected Apps "
        "OAuth Usage.",
        source="the forms in which Salesforce hands them out; observed",
    ),
    error(
        "MD705",
        "secret-in-repository",
        why="What is committed stays in the history, in every clone, for ever. The "
        "hook no-secrets looks for it in every file that is staged.",
        remedy="Take it out, and change it if it was ever pushed. Where it is no "
        "secret, write `pragma: allowlist secret because REASON` into the line, or "
        "`pragma: allowlist nextline secret because REASON` into the line above.",
        source="metadeploy; the marker: detect-secrets",
    ),
    error(
        "MD706",
        "local-state",
        why="Private keys, tokens and emulated orgs' secrets are in .metadeploy/.",
        remedy="`git rm -r --cached` the folder, and add .metadeploy/ to .gitignore.",
        source="metadeploy",
    ),
    error(
        "MD711",
        "certificate-ended",
        why="Once its certificate has ended, no JWT that an app is asked with counts.",
        remedy="Make a new key pair, and put its certificate here.",
        source="Salesforce Help, OAuth 2.0 JWT Bearer Flow",
    ),
    warning(
        "MD712",
        "certificate-ends-soon",
        why="Within 30 days nobody will be able to log in by JWT.",
        remedy="Make a new key pair in time, and put its certificate here.",
        source="Salesforce Help, OAuth 2.0 JWT Bearer Flow",
    ),
    warning(
        "MD713",
        "certificate-not-yet",
        why="A certificate counts from its first day on.",
        remedy="Wait with the deploy, or use the certificate that counts now.",
        source="RFC 5280 §4.1.2.5",
    ),
    warning(
        "MD714",
        "certificate-weak",
        why="RSA keys of fewer than 2048 bits can be broken.",
        remedy="Make a key pair of 2048 bits or more, and put its certificate here.",
        source="NIST SP 800-131A",
    ),
)

_ISV = "ISVforce Guide, Secure Your Connected Apps and External Client Apps"

ISV = tuple(
    asked("isv", rule)
    for rule in (
        error(
            "MD801",
            "isv-pkce",
            why="An authorisation code that is caught on its way is worth nothing "
            "without its verifier. An app that can only use JWT bearer or client "
            "credentials takes no code, and is exempt.",
            remedy="Set isPkceRequired to true, and let the client send code_challenge "
            "and code_verifier. Salesforce lets no vendor switch it off again.",
            source=_ISV,
        ),
        error(
            "MD802",
            "isv-rotation",
            why="A refresh token that was stolen ends at the next refresh. An app "
            "without the scope RefreshToken has none, and is exempt.",
            remedy="Set isRefreshTokenRotationEnabled to true, and let the client keep "
            "the token that each refresh brings.",
            source=_ISV,
        ),
        error(
            "MD803",
            "isv-idle",
            why="A refresh token that nobody used for 30 days has to end. A lifetime "
            "in all of up to 30 days does as well.",
            remedy="Use specific_inactivity:30:DAYS (External Client App: "
            "SpecificInactivity, 30, Days). Where the idle limit is switched on in "
            "Setup, which no metadata shows, suppress this with that reason.",
            source=f"{_ISV}; Salesforce Help, Limit the Idle Refresh Token TTL",
        ),
        error(
            "MD804",
            "isv-ip-list",
            why="A refresh token counts from the vendor's own addresses only. Exempt "
            "are callback URLs on localhost, of Salesforce, or with the app's own "
            "scheme. The list itself is in no field of API version 66.0: ipRanges, "
            "trustedIpRanges or an ExtlClntAppOauthSecuritySettings file stand for it.",
            remedy="Give the ranges, at most 256 addresses, and don't bypass them. "
            "Where the allow-list is set in Setup, suppress this with that reason.",
            source=f"{_ISV}; Salesforce Help, Set an IP Allowlist for Refresh Tokens; "
            "inferred: what stands for the list",
        ),
    )
)
