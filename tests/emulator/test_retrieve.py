"""What an org hands out: zips, lists, bundles, wildcards."""

from __future__ import annotations

import pytest
from deployer import XMLNS, Deployer, app, pack, permission_set, row_of

from metadeploy.emulator import jobs, retrieving
from metadeploy.emulator.faults import Fault
from metadeploy.emulator.jobs import DeployOptions
from metadeploy.emulator.retrieving import RetrieveRequest
from metadeploy.emulator.settings import OrgSettings
from metadeploy.emulator.state import OrgState, World
from metadeploy.emulator.zips import read_zip

OBJECT = (
    f"<CustomObject {XMLNS}><fields><fullName>A__c</fullName><label>A</label>"
    "<type>Text</type></fields><label>Thing</label></CustomObject>"
)
META = f"<ApexClass {XMLNS}><apiVersion>66.0</apiVersion></ApexClass>"


@pytest.fixture
def deployer(org: OrgState) -> Deployer:
    return Deployer(org)


def submit(deployer: Deployer, request: RetrieveRequest) -> str:
    return retrieving.submit_retrieve(deployer.session, request)


def status(
    deployer: Deployer, retrieve_id: str, *, include_zip: bool = True
) -> retrieving.RetrieveJob:
    return retrieving.retrieve_status(
        deployer.session, retrieve_id, include_zip=include_zip
    )


def test_a_slow_retrieve_is_polled(world: World) -> None:
    deployer = Deployer(world.create_org("slow", OrgSettings(retrieve_polls=2)))
    retrieve_id = submit(deployer, RetrieveRequest({"Profile": ("Admin",)}, 66.0))
    first = status(deployer, retrieve_id)
    assert (first.status, first.done, first.zip_bytes) == ("InProgress", False, None)
    assert status(deployer, retrieve_id, include_zip=False).success
    assert status(deployer, retrieve_id[:15]).zip_bytes
    with pytest.raises(Fault, match="Retrieve result has been deleted"):
        status(deployer, retrieve_id, include_zip=False)


def test_one_package_lies_at_the_root(deployer: Deployer) -> None:
    request = RetrieveRequest({"Profile": ("Admin",)}, 66.0, single_package=True)
    job = status(deployer, submit(deployer, request))
    assert job.zip_bytes
    assert set(read_zip(job.zip_bytes)) == {"profiles/Admin.profile", "package.xml"}
    assert {p.file_name for p in job.files} == {"profiles/Admin.profile", "package.xml"}


def test_the_manifest_names_what_came(deployer: Deployer) -> None:
    deployer.deploy({"permissionsets/P.permissionset": permission_set()})
    files = deployer.retrieve({"PermissionSet": ("*",), "Profile": ("Nobody",)})
    assert files["package.xml"] == (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<Package xmlns="http://soap.sforce.com/2006/04/metadata">\n'
        "    <types>\n        <members>P</members>\n"
        "        <name>PermissionSet</name>\n    </types>\n"
        "    <version>66.0</version>\n</Package>\n"
    )


def test_files_can_be_asked_for_by_path(deployer: Deployer) -> None:
    deployer.deploy(
        {
            "permissionsets/P.permissionset": permission_set(),
            "permissionsets/Q.permissionset": permission_set(label="Q"),
        }
    )
    request = RetrieveRequest(
        {"PermissionSet": ("*",)},
        66.0,
        single_package=True,
        specific_files=("permissionsets/Q.permissionset",),
    )
    job = status(deployer, submit(deployer, request))
    assert job.zip_bytes
    assert set(read_zip(job.zip_bytes)) == {
        "permissionsets/Q.permissionset",
        "package.xml",
    }


def test_requests_that_contradict_themselves_are_refused(deployer: Deployer) -> None:
    members = {"Profile": ("Admin",)}
    with pytest.raises(Fault, match="singlePackage"):
        submit(deployer, RetrieveRequest(members, 66.0, specific_files=("x",)))
    both = RetrieveRequest(
        members, 66.0, True, specific_files=("x",), package_names=("y",)
    )
    with pytest.raises(Fault, match="exclude"):
        submit(deployer, both)


def test_unknown_types_and_jobs_are_told(deployer: Deployer) -> None:
    job = deployer.retrieve_job({"Nonsense": ("*",)})
    assert job.messages == (
        ("unpackaged/package.xml", "Entity type: 'Nonsense' is unknown"),
    )
    with pytest.raises(Fault, match="INVALID_CROSS_REFERENCE_KEY"):
        status(deployer, "09S000000000001")
    with pytest.raises(Fault, match="INVALID_ID_FIELD"):
        status(deployer, "what")


def test_packages_are_not_there(deployer: Deployer) -> None:
    request = RetrieveRequest({}, 66.0, package_names=("Mine",))
    job = status(deployer, submit(deployer, request))
    assert job.messages == (
        ("unpackaged/Mine/package.xml", "No package named 'Mine' found"),
    )


def test_a_foreign_retrieve_is_not_there(deployer: Deployer, world: World) -> None:
    other = Deployer(world.create_org("other"))
    retrieve_id = submit(other, RetrieveRequest({"Profile": ("Admin",)}, 66.0))
    with pytest.raises(Fault, match="INVALID_CROSS_REFERENCE_KEY"):
        status(deployer, retrieve_id)


def test_other_types_come_back_as_they_came(deployer: Deployer) -> None:
    files = {
        "classes/A.cls": "public class A {}",
        "classes/A.cls-meta.xml": META,
        "lwc/tile/tile.js": "export {}",
        "lwc/tile/tile.js-meta.xml": f"<LightningComponentBundle {XMLNS}/>",
        "objects/Thing__c.object": OBJECT,
    }
    job = deployer.deploy(files)
    assert job.success, job.rows
    back = deployer.retrieve(
        {
            "ApexClass": ("*",),
            "LightningComponentBundle": ("tile",),
            "CustomObject": ("*",),
        }
    )
    del back["package.xml"]
    assert back == files
    assert not row_of(deployer.deploy(files), "A").changed


def test_files_in_a_folder_keep_their_place_inside(deployer: Deployer) -> None:
    data = pack({"classes/A.cls": "x", "classes/A.cls-meta.xml": META}, folder="f/")
    jobs.submit_deploy(deployer.session, data, DeployOptions())
    back = deployer.retrieve({"ApexClass": ("A",)})
    assert set(back) == {"classes/A.cls", "classes/A.cls-meta.xml", "package.xml"}


def test_a_star_leaves_standard_objects_out(deployer: Deployer) -> None:
    deployer.deploy(
        {"objects/Thing__c.object": OBJECT, "objects/Account.object": OBJECT}
    )
    assert "objects/Account.object" not in deployer.retrieve({"CustomObject": ("*",)})
    named = deployer.retrieve({"CustomObject": ("Account",)})
    assert "objects/Account.object" in named


def test_children_are_rows_of_their_own(deployer: Deployer) -> None:
    from deployer import manifest

    files = {
        "objects/Thing__c.object": OBJECT,
        "package.xml": manifest({"CustomField": ("Thing__c.A__c",)}),
    }
    job = deployer.deploy(files)
    assert job.success
    assert row_of(job, "Thing__c.A__c").component_type == "CustomField"
    missing = {**files, "package.xml": manifest({"CustomField": ("Thing__c.B__c",)})}
    assert "named in package.xml" in deployer.problem(missing)


def test_lists_tell_who_and_when(deployer: Deployer) -> None:
    deployer.deploy({"connectedApps/Portal.connectedApp": app()})
    (found,) = retrieving.list_metadata(deployer.session, "ConnectedApp")
    assert found.file_name == "connectedApps/Portal.connectedApp"
    assert (found.full_name, found.id[:3]) == ("Portal", "0H4")
    assert found.created_by_name == "Admin"
    assert found.created_date == "2027-01-15T08:00:00.000Z"
    with pytest.raises(Fault, match="INVALID_TYPE"):
        retrieving.list_metadata(deployer.session, "Nonsense")


def test_folders_are_listed_by_their_content(deployer: Deployer) -> None:
    report = f"<Report {XMLNS}><name>Pipeline</name></Report>"
    job = deployer.deploy({"reports/Sales/Pipeline.report": report})
    assert job.success, job.rows
    inside = retrieving.list_metadata(deployer.session, "Report", "Sales")
    assert [p.full_name for p in inside] == ["Sales/Pipeline"]
    assert retrieving.list_metadata(deployer.session, "Report", "Other") == []
