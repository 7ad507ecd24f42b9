from __future__ import annotations

import base64
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from deploykit.errors import BrokenRecordError, UsageError
from deploykit.signoff import armour, ssh
from tests.signoff.team import Team

APPROVAL = ssh.Namespace.APPROVAL


@pytest.fixture
def team(tmp_path: Path) -> Team:
    return Team(tmp_path)


def test_a_signature_proves_who_signed_exactly_these_bytes(team: Team) -> None:
    signature = ssh.sign(b"hello", team.key("ann"), APPROVAL)
    ssh.verify(b"hello", signature, "ann@example.com", APPROVAL, team.signers)
    assert ssh.principal_of(signature, team.signers) == "ann@example.com"


def test_an_altered_byte_breaks_it(team: Team) -> None:
    signature = ssh.sign(b"hello", team.key("ann"), APPROVAL)
    with pytest.raises(BrokenRecordError, match="does not hold"):
        ssh.verify(b"hellO", signature, "ann@example.com", APPROVAL, team.signers)


def test_nobody_signs_in_the_name_of_another(team: Team) -> None:
    signature = ssh.sign(b"hello", team.key("dev"), APPROVAL)
    with pytest.raises(BrokenRecordError, match=r"key belongs to dev@example\.com"):
        ssh.verify(b"hello", signature, "ann@example.com", APPROVAL, team.signers)


def test_a_signature_for_one_purpose_does_not_hold_for_another(team: Team) -> None:
    signature = ssh.sign(b"hello", team.key("ann"), ssh.Namespace.ATTESTATION)
    with pytest.raises(BrokenRecordError, match="signed for 'deploykit-attestation', not for 'deploykit-approval'"):
        ssh.verify(b"hello", signature, "ann@example.com", APPROVAL, team.signers)


def test_the_purpose_written_into_the_armour_is_not_believed(team: Team) -> None:
    signature = ssh.sign(b"hello", team.key("ann"), "deploykit-approvaL")
    blob = base64.b64decode(b"".join(signature.split(b"\n")[1:-2])).replace(
        b"deploykit-approvaL", b"deploykit-approval"
    )
    with pytest.raises(BrokenRecordError, match="does not hold"):
        ssh.verify(b"hello", armour._wrap(blob), "ann@example.com", APPROVAL, team.signers)


def test_a_key_that_is_not_allowed_for_the_purpose_is_refused(team: Team) -> None:
    team.list_key("carl@example.com", team.make_key("carl"), 'namespaces="deploykit-seal"')
    signature = ssh.sign(b"hello", team.key("carl"), APPROVAL)
    with pytest.raises(BrokenRecordError, match="does not hold"):
        ssh.verify(b"hello", signature, "carl@example.com", APPROVAL, team.signers)


def test_a_key_counts_at_the_time_of_signing_not_at_the_time_of_reading(team: Team) -> None:
    yesterday = datetime.now(UTC) - timedelta(days=1)
    team.list_key("carl@example.com", team.make_key("carl"), f'valid-before="{yesterday:%Y%m%d%H%M%SZ}"')
    signature = ssh.sign(b"hello", team.key("carl"), APPROVAL)
    ssh.verify(b"hello", signature, "carl@example.com", APPROVAL, team.signers, yesterday - timedelta(seconds=5))
    for late in (yesterday + timedelta(seconds=5), None):
        with pytest.raises(BrokenRecordError, match="not at that time"):
            ssh.verify(b"hello", signature, "carl@example.com", APPROVAL, team.signers, late)


@pytest.mark.parametrize("names", ["*@example.com", "x@example.com,y@example.com"])
def test_a_key_that_stands_for_many_names_stands_for_nobody(team: Team, names: str) -> None:
    team.list_key(names, team.make_key("wild"))
    signature = ssh.sign(b"hello", team.key("wild"), APPROVAL)
    with pytest.raises(BrokenRecordError, match="not for one person"):
        ssh.verify(b"hello", signature, "ann@example.com", APPROVAL, team.signers)
    with pytest.raises(BrokenRecordError, match="not for one person"):
        ssh.principal_of_key(team.key("wild"), team.signers)


def _rewrapped(signature: bytes) -> bytes:
    body = b"".join(signature.split(b"\n")[1:-2])
    return b"\n".join([armour._BEGIN, *(body[i : i + 64] for i in range(0, len(body), 64)), armour._END, b""])


def _with_reserved(signature: bytes) -> bytes:
    blob = base64.b64decode(b"".join(signature.split(b"\n")[1:-2]))
    parts = armour._fields(blob[len(armour._MAGIC) :])
    parts[2] = b"x"
    return armour._wrap(armour._MAGIC + b"".join(len(part).to_bytes(4) + part for part in parts))


@pytest.mark.parametrize(
    "change",
    [
        _rewrapped,
        _with_reserved,
        lambda signature: signature + b"\n",
        lambda signature: signature + b"more",
        lambda signature: b" " + signature,
        lambda signature: signature.rstrip(b"\n"),
        lambda signature: signature.replace(b"\n", b"\r\n"),
        lambda signature: signature.replace(b"BEGIN SSH", b"BEGIN  SSH"),
        lambda _: armour._BEGIN + b"\n\xff\n" + armour._END + b"\n",
        lambda _: armour._wrap(b"no signature"),
        lambda _: armour._wrap(armour._MAGIC + b"\0\0\0\x09cut"),
        lambda _: b"",
    ],
)
def test_only_the_form_that_openssh_writes_is_accepted(team: Team, change: object) -> None:
    signature = ssh.sign(b"hello", team.key("ann"), APPROVAL)
    assert callable(change)
    with pytest.raises(BrokenRecordError):
        ssh.verify(b"hello", change(signature), "ann@example.com", APPROVAL, team.signers)


def test_a_missing_key_says_how_to_make_one(team: Team) -> None:
    with pytest.raises(UsageError, match="there is no signing key") as caught:
        ssh.sign(b"hello", team.key("nobody"), APPROVAL)
    assert "ssh-keygen -t ed25519" in caught.value.mend


def test_a_key_that_cannot_be_read_says_to_use_the_agent(team: Team) -> None:
    team.key("broken").write_text("nonsense", "ascii")
    with pytest.raises(UsageError, match="could not sign") as caught:
        ssh.sign(b"hello", team.key("broken"), APPROVAL)
    assert "ssh-add" in caught.value.mend


@pytest.fixture
def agent(team: Team, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An agent of the test's own that holds Ann's key, which is nowhere else."""
    # A socket's path has to be short, which a test's folder is not.
    with tempfile.TemporaryDirectory(prefix="agent-") as folder:
        socket = f"{folder}/socket"
        with subprocess.Popen(
            [str(shutil.which("ssh-agent")), "-D", "-a", socket], stdout=subprocess.DEVNULL
        ) as process:
            monkeypatch.setenv("SSH_AUTH_SOCK", socket)
            try:
                add = ["ssh-add", "-q", str(team.key("ann"))]
                while subprocess.run(add, check=False, stderr=subprocess.DEVNULL).returncode != 0:
                    assert process.poll() is None
                team.key("ann").unlink()
                yield
            finally:
                process.terminate()


def test_with_a_public_key_the_agent_signs(team: Team, agent: None) -> None:
    signature = ssh.sign(b"hello", team.key("ann").with_suffix(".pub"), APPROVAL)
    ssh.verify(b"hello", signature, "ann@example.com", APPROVAL, team.signers)


def test_a_missing_program_is_named(team: Team, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match="ssh-keygen is not installed"):
        ssh.sign(b"hello", team.key("ann"), APPROVAL)


def test_a_program_that_does_not_end_proves_nothing(
    team: Team, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    signature = ssh.sign(b"hello", team.key("ann"), APPROVAL)
    stuck = tmp_path / "ssh-keygen"
    stuck.write_text("#!/bin/sh\nexec sleep 60\n", "ascii")
    stuck.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert ssh._ssh_keygen.__kwdefaults__ is not None
    monkeypatch.setitem(ssh._ssh_keygen.__kwdefaults__, "timeout", 0.05)
    with pytest.raises(UsageError, match=r"ssh-keygen -Y find-principals did not end within 0\.05 s"):
        ssh.verify(b"hello", signature, "ann@example.com", APPROVAL, team.signers)


def test_the_owner_of_a_key_is_found_with_and_without_its_public_half(team: Team) -> None:
    assert ssh.principal_of_key(team.key("ann"), team.signers) == "ann@example.com"
    assert ssh.principal_of_key(team.key("ann").with_suffix(".pub"), team.signers) == "ann@example.com"
    team.key("ann").with_suffix(".pub").unlink()
    assert ssh.principal_of_key(team.key("ann"), team.signers) == "ann@example.com"


def test_a_key_that_the_team_does_not_list_cannot_decide(team: Team) -> None:
    with pytest.raises(UsageError, match="not in the file of allowed signers"):
        ssh.principal_of_key(team.make_key("new"), team.signers)
