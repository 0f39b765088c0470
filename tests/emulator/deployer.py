"""Packages for the tests, and somebody who deploys them."""

from __future__ import annotations

from collections.abc import Mapping

from metadeploy import schema
from metadeploy.emulator import jobs, retrieving
from metadeploy.emulator.deploying import Row
from metadeploy.emulator.jobs import DeployJob, DeployOptions
from metadeploy.emulator.retrieving import RetrieveJob, RetrieveRequest
from metadeploy.emulator.seed import admin_of
from metadeploy.emulator.state import OrgState, Session
from metadeploy.emulator.zips import read_zip, write_zip
from metadeploy.model import METADATA_NS, Manifest

XMLNS = f'xmlns="{METADATA_NS}"'
CALLBACK = "<callbackUrl>https://portal.example/callback</callbackUrl>"


def app(
    *,
    key: str = "",
    secret: str = "",
    config: str = "",
    access: str = "",
    top: str = "",
    label: str = "Portal",
) -> str:
    """Return a ConnectedApp's file. config: behind scopes; access: names; top: more."""
    key = f"<consumerKey>{key}</consumerKey>" if key else ""
    secret = f"<consumerSecret>{secret}</consumerSecret>" if secret else ""
    return (
        f"<ConnectedApp {XMLNS}><contactEmail>a@example.com</contactEmail>"
        f"<label>{label}</label><oauthConfig>{CALLBACK}{key}{secret}{config}"
        f"</oauthConfig>{access}{top}</ConnectedApp>"
    )


def permission_set(content: str = "", *, label: str = "P") -> str:
    """Return a PermissionSet's file."""
    return f"<PermissionSet {XMLNS}><label>{label}</label>{content}</PermissionSet>"


def profile(content: str = "") -> str:
    """Return a Profile's file."""
    return f"<Profile {XMLNS}>{content}</Profile>"


def permission(name: str, enabled: str = "true") -> str:
    """Return a user permission of a profile or permission set."""
    return (
        f"<userPermissions><enabled>{enabled}</enabled><name>{name}</name>"
        "</userPermissions>"
    )


def eca(name: str, *, key: str = "", more: str = "") -> dict[str, str]:
    """Return an External Client App: header, credentials, OAuth settings."""
    parent = f"<externalClientApplication>{name}</externalClientApplication>"
    key = f"<consumerKey>{key}</consumerKey>" if key else ""
    return {
        f"externalClientApps/{name}.eca": (
            f"<ExternalClientApplication {XMLNS}>"
            f"<contactEmail>a@example.com</contactEmail><label>{name}</label>"
            "</ExternalClientApplication>"
        ),
        f"extlClntAppGlobalOauthSets/{name}_glbl.ecaGlblOauth": (
            f"<ExtlClntAppGlobalOauthSettings {XMLNS}>{CALLBACK}{key}{parent}{more}"
            "</ExtlClntAppGlobalOauthSettings>"
        ),
        f"extlClntAppOauthSettings/{name}_oauth.ecaOauth": (
            f"<ExtlClntAppOauthSettings {XMLNS}>"
            "<commaSeparatedOauthScopes>Api,RefreshToken</commaSeparatedOauthScopes>"
            f"{parent}</ExtlClntAppOauthSettings>"
        ),
    }


def manifest(members: Mapping[str, tuple[str, ...]], version: str = "66.0") -> str:
    """Return package.xml."""
    types = "".join(
        "<types>"
        + "".join(f"<members>{name}</members>" for name in names)
        + f"<name>{kind}</name></types>"
        for kind, names in members.items()
    )
    return f"<Package {XMLNS}>{types}<version>{version}</version></Package>"


def pack(files: Mapping[str, str], *, version: str = "66.0", folder: str = "") -> bytes:
    """Return a zip of those files with a package.xml that names them."""
    whole = dict(files)
    if "package.xml" not in whole:
        refs = [ref for path in files if (ref := schema.ref_of(path))]
        whole["package.xml"] = manifest(Manifest.of(refs, version).members, version)
    return write_zip({f"{folder}{p}": text.encode() for p, text in whole.items()})


class Deployer:
    """Somebody who deploys to an org and looks at what came of it."""

    def __init__(self, org: OrgState, user_id: str = "") -> None:
        self.org = org
        token = org.issue_token(user_id or admin_of(org))
        session = org.world.org_of_token(token)
        assert session
        self.session: Session = session

    def submit(
        self,
        files: Mapping[str, str],
        options: DeployOptions | None = None,
        *,
        version: str = "66.0",
    ) -> str:
        return jobs.submit_deploy(
            self.session, pack(files, version=version), options or DeployOptions()
        )

    def status(self, deploy_id: str) -> DeployJob:
        return jobs.deploy_status(self.session, deploy_id, include_details=True)

    def deploy(
        self,
        files: Mapping[str, str],
        options: DeployOptions | None = None,
        *,
        version: str = "66.0",
    ) -> DeployJob:
        return self.status(self.submit(files, options, version=version))

    def problem(self, files: Mapping[str, str], *, version: str = "66.0") -> str:
        """Deploy what fails and return the first problem."""
        job = self.deploy(files, version=version)
        assert job.status == "Failed"
        assert not job.success
        return next(r.problem for r in job.rows if not r.success)

    def retrieve(
        self, members: Mapping[str, tuple[str, ...]], *, version: float = 66.0
    ) -> dict[str, str]:
        """Retrieve and return the files by path below `unpackaged/`."""
        job = self.retrieve_job(members, version=version)
        assert job.zip_bytes is not None
        return {
            path.removeprefix("unpackaged/"): body.decode()
            for path, body in read_zip(job.zip_bytes).items()
        }

    def retrieve_job(
        self, members: Mapping[str, tuple[str, ...]], *, version: float = 66.0
    ) -> RetrieveJob:
        request = RetrieveRequest(members, version)
        retrieve_id = retrieving.submit_retrieve(self.session, request)
        return retrieving.retrieve_status(self.session, retrieve_id)


def row_of(job: DeployJob, full_name: str) -> Row:
    """Return the row of that name."""
    return next(r for r in job.rows if r.full_name == full_name)
