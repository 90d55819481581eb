"""Every mistake in the files of TLS: the message names the file and what is wrong with it."""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
from tls.authority import RSA, SHORT_RSA, Authority, Issued, openssl
from tls.conftest import MakeSettings

from tricorn.config.errors import ConfigError
from tricorn.config.settings import Settings
from tricorn.tls.material import Material, read_material
from tricorn.tls.pem import blocks_of

Write = Callable[[str, str | bytes], str]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write_file(name: str, content: str | bytes) -> str:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return str(path)

    return write_file


def refusal(settings: Settings) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        read_material(settings)
    assert "\n" not in str(caught.value)
    assert caught.value.hint
    return caught.value


def certfiles(material: Material) -> list[str]:
    return [os.path.basename(pair.certfile) for pair in material.pairs]


# ---------------------------------------------------------------------------------------- what is taken


def test_a_pair(site: Issued, settings_for: MakeSettings) -> None:
    (pair,) = read_material(settings_for(site)).pairs
    assert pair.leaf.dns == ("site.test", "www.site.test")
    assert pair.keyfile == str(site.keyfile)


def test_both_in_one_file(site: Issued, settings_for: MakeSettings, write: Write) -> None:
    write("site.pem", "A comment.\n" + site.key + site.pem)
    (pair,) = read_material(settings_for(certfile="site.pem")).pairs  # relative to chdir
    assert pair.leaf.dns[0] == "site.test"


def test_lines_of_windows(site: Issued, settings_for: MakeSettings, write: Write) -> None:
    write("site.pem", site.both().replace("\n", "\r\n"))
    assert read_material(settings_for(certfile="site.pem")).pairs


def test_an_elliptic_key_with_its_parameters(
    authority: Authority, settings_for: MakeSettings, write: Write
) -> None:
    """As `openssl ecparam -genkey` writes it: a block for the curve goes before the key."""
    issued = authority.issue("site.test")
    parameters = openssl("ecparam", "-name", "prime256v1")
    old = openssl("ec", "-in", issued.keyfile)
    write("site.pem", issued.pem + parameters + old)
    assert read_material(settings_for(certfile="site.pem")).pairs


def test_certfile_comes_first_and_once(
    site: Issued, shop: Issued, settings_for: MakeSettings, write: Write
) -> None:
    write("b.pem", site.both())
    write("a.pem", shop.both())
    material = read_material(settings_for(certfile="b.pem", certificates=(".",)))
    assert certfiles(material) == ["b.pem", "a.pem"]


def test_only_a_directory(site: Issued, shop: Issued, settings_for: MakeSettings, write: Write) -> None:
    write("b.pem", site.pem)
    write("b.key", site.key)
    write("a.pem", shop.both())
    assert certfiles(read_material(settings_for(certificates=(".",)))) == ["a.pem", "b.pem"]


@pytest.mark.parametrize("form", ["pkcs8", "traditional"])
@pytest.mark.parametrize("how", ["value", "file"])
def test_an_encrypted_key(
    form: str, how: str, authority: Authority, settings_for: MakeSettings, write: Write
) -> None:
    issued = authority.issue("site.test", key=RSA)
    extra = ["-traditional"] if form == "traditional" else []
    key = write("key.pem", "")
    openssl("rsa", "-aes256", *extra, "-passout", "pass:open sesame ", "-in", issued.keyfile, "-out", key)
    by_file = {"keyfile_password_file": write("word", "open sesame \nand a remark\n")}
    by_value = {"keyfile_password": "open sesame "}
    settings = settings_for(
        certfile=str(issued.certfile), keyfile=key, **(by_file if how == "file" else by_value)
    )
    assert read_material(settings).password == "open sesame "
    assert "sesame" not in repr(settings)
    assert "sesame" not in repr(read_material(settings))
    assert "PRIVATE KEY" not in repr(read_material(settings))


# ------------------------------------------------------------------------------------------ the mistakes


def test_no_such_file(settings_for: MakeSettings, tmp_path: Path) -> None:
    assert refusal(settings_for(certfile="none.pem")).message == f"there is no file {tmp_path}/none.pem"


def test_no_such_key(site: Issued, settings_for: MakeSettings) -> None:
    error = refusal(settings_for(site, keyfile="none.key"))
    assert error.setting == "keyfile"
    assert "there is no file" in error.message


def test_a_link_to_nothing(settings_for: MakeSettings, tmp_path: Path) -> None:
    (tmp_path / "live.pem").symlink_to("archive.pem")
    assert "live.pem is a link to" in refusal(settings_for(certfile="live.pem")).message


def test_a_directory(settings_for: MakeSettings) -> None:
    assert "is a directory" in refusal(settings_for(certfile=".")).message


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"\n \n", "is empty"),
        (b"hello", "is not a PEM file"),
        (b"-----BEGIN CERTIFICATE-----\nMIIB", "is cut off"),
        (b"-----BEGIN X509 CRL-----\nMIIB\n-----END X509 CRL-----\n", "holds no certificate but X509 CRL"),
        (
            b"-----BEGIN CERTIFICATE-----\nM*IB\n-----END CERTIFICATE-----\n",
            "a certificate in it has a CERTIFICATE block that is not valid base64",
        ),
        (
            b"-----BEGIN CERTIFICATE-----\nMIIBAAAA\n-----END CERTIFICATE-----\n",
            "a certificate in it ends in the middle of a value",
        ),
    ],
)
def test_not_a_certificate(content: bytes, said: str, settings_for: MakeSettings, write: Write) -> None:
    write("x.pem", content)
    error = refusal(settings_for(certfile="x.pem"))
    assert error.setting == "certfile"
    assert f"x.pem{':' if said.startswith('a cert') else ''} {said}" in error.message


def test_a_binary_certificate(site: Issued, settings_for: MakeSettings, write: Write) -> None:
    write("x.cer", site.der)
    error = refusal(settings_for(certfile="x.cer"))
    assert "in a binary form" in error.message
    assert "openssl x509 -inform DER" in error.hint


def test_what_has_no_end(settings_for: MakeSettings) -> None:
    assert "too large to be a PEM file" in refusal(settings_for(certfile="/dev/zero")).message


def test_certificate_and_key_exchanged(site: Issued, settings_for: MakeSettings) -> None:
    error = refusal(settings_for(certfile=str(site.keyfile), keyfile=str(site.certfile)))
    assert "holds a key and no certificate" in error.message
    assert "exchanged" in error.hint


def test_a_certificate_for_a_key(site: Issued, settings_for: MakeSettings) -> None:
    error = refusal(settings_for(site, keyfile=str(site.certfile)))
    assert (error.setting, "set keyfile" in error.hint) == ("certfile", True)
    assert "holds no private key" in error.message


def test_another_certificate_for_a_key(site: Issued, shop: Issued, settings_for: MakeSettings) -> None:
    error = refusal(settings_for(site, keyfile=str(shop.certfile)))
    assert error.setting == "keyfile"
    assert "holds a certificate and no private key" in error.message


def test_no_key(site: Issued, settings_for: MakeSettings, write: Write) -> None:
    write("site.pem", site.pem)
    error = refusal(settings_for(certfile="site.pem"))
    assert "site.pem holds no private key" in error.message
    assert error.hint == "set keyfile"
    write("site.key", site.key)
    assert refusal(settings_for(certfile="site.pem")).hint.endswith("site.key")


@pytest.mark.parametrize(
    ("content", "said"),
    [("hello", "is not a PEM file"), ("", "is empty"), ("-----BEGIN", "is not a PEM file")],
)
def test_not_a_key(content: str, said: str, site: Issued, settings_for: MakeSettings, write: Write) -> None:
    error = refusal(settings_for(site, keyfile=write("x.key", content)))
    assert error.setting == "keyfile"
    assert f"x.key {said}" in error.message


def test_a_public_key(site: Issued, settings_for: MakeSettings, write: Write) -> None:
    public = openssl("pkey", "-in", site.keyfile, "-pubout")
    assert "holds no private key" in refusal(settings_for(site, keyfile=write("x.key", public))).message


def test_a_damaged_key(site: Issued, settings_for: MakeSettings, write: Write) -> None:
    lines = site.key.splitlines()
    damaged = "\n".join([lines[0], "A" * 64, *lines[2:], ""])
    error = refusal(settings_for(site, keyfile=write("x.key", damaged)))
    assert (error.setting, "OpenSSL does not take the key" in error.message) == ("keyfile", True)


@pytest.mark.parametrize("kinds", [("ec", "ec"), ("ec", "rsa")])
def test_a_key_that_does_not_fit(
    kinds: tuple[str, str], authority: Authority, settings_for: MakeSettings
) -> None:
    one, other = (authority.issue("a.test", **({"key": RSA} if kind == "rsa" else {})) for kind in kinds)
    error = refusal(settings_for(one, keyfile=str(other.keyfile)))
    assert error.setting == "keyfile"
    assert error.message == f"{other.keyfile} is not the key of the certificate in {one.certfile}"


def test_a_key_that_does_not_fit_in_one_file(
    site: Issued, shop: Issued, settings_for: MakeSettings, write: Write
) -> None:
    path = write("x.pem", site.pem + shop.key)
    error = refusal(settings_for(certfile=path))
    assert error.setting == "certfile"
    assert error.message == f"the key in {path} is not the key of the certificate in it"


def test_a_chain_in_the_wrong_order(
    authority: Authority, site: Issued, settings_for: MakeSettings, write: Write
) -> None:
    chain = write("chain.pem", authority.certfile.read_text() + site.pem)
    error = refusal(settings_for(certfile=chain, keyfile=str(site.keyfile)))
    assert error.setting == "certfile"
    assert "must be the first in the file" in error.hint


def encrypted(issued: Issued, write: Write, *options: str) -> str:
    key = write("key.pem", "")
    openssl("pkey", *options, "-aes256", "-passout", "pass:sesame", "-in", issued.keyfile, "-out", key)
    return key


@pytest.mark.parametrize("options", [[], ["-traditional"]])
def test_an_encrypted_key_without_password(
    options: list[str], site: Issued, settings_for: MakeSettings, write: Write
) -> None:
    """OpenSSL would ask at the terminal, and wait."""
    error = refusal(settings_for(site, keyfile=encrypted(site, write, *options)))
    assert "key.pem is encrypted, and there is no password for it" in error.message
    assert "keyfile_password_file" in error.hint


def test_an_encrypted_key_with_a_wrong_password(
    site: Issued, settings_for: MakeSettings, write: Write
) -> None:
    error = refusal(settings_for(site, keyfile=encrypted(site, write), keyfile_password="tahini"))
    assert "key.pem cannot be decrypted with the password" in error.message
    assert "tahini" not in str(error)


@pytest.mark.parametrize(
    ("content", "said"), [(b"", "empty first line"), (b"\nx", "empty first"), (b"\xff", "not text")]
)
def test_a_bad_file_for_the_password(
    content: bytes, said: str, site: Issued, settings_for: MakeSettings, write: Write
) -> None:
    error = refusal(settings_for(site, keyfile_password_file=write("word", content)))
    assert (error.setting, said in error.message) == ("keyfile_password_file", True)


@pytest.mark.parametrize("how", ["keyfile_password", "keyfile_password_file"])
def test_a_password_without_end(how: str, site: Issued, settings_for: MakeSettings, write: Write) -> None:
    word = "ä" * 513
    settings = settings_for(
        site,
        keyfile=encrypted(site, write),
        **{how: word if how == "keyfile_password" else write("word", word)},
    )
    error = refusal(settings)
    assert (error.setting, "more than 1024 bytes" in error.message) == (how, True)


def test_a_list_that_openssl_cannot_read(
    authority: Authority, site: Issued, settings_for: MakeSettings, write: Write
) -> None:
    """The dates are where they have to be, and what stands behind them is damaged."""
    (block,) = blocks_of(authority.revoke(site).read_bytes())
    # The signature, a bit string, becomes an octet string.
    *_, signature = re.finditer(rb"\x03[\x40-\x49]\x00\x30", block.der)
    whole = block.der[: signature.start()] + b"\x04" + block.der[signature.start() + 1 :]
    text = ssl.DER_cert_to_PEM_cert(whole).replace("CERTIFICATE", "X509 CRL")
    error = refusal(settings_for(site, crlfile=write("x", text)))
    assert "x: OpenSSL cannot read a list in it" in error.message


def test_a_certificate_behind_the_first_is_for_openssl_to_judge(
    site: Issued, settings_for: MakeSettings, write: Write
) -> None:
    """A chain may hold what others have made, less strictly."""
    damaged = "-----BEGIN CERTIFICATE-----\nMIIBAAAA\n-----END CERTIFICATE-----\n"
    error = refusal(settings_for(certfile=write("x.pem", site.pem + damaged), keyfile=str(site.keyfile)))
    assert error.setting == "certfile"
    assert "x.pem: a certificate in it is not one that OpenSSL can read" in error.message


def test_a_short_key(authority: Authority, settings_for: MakeSettings) -> None:
    issued = authority.issue("a.test", key=SHORT_RSA)
    assert "has a key that is too short to be safe" in refusal(settings_for(issued)).message


def test_a_file_that_may_not_be_read(
    site: Issued, settings_for: MakeSettings, tmp_path: Path, write: Write
) -> None:
    """In a process that has given up root: the test may be running as root, who reads everything."""
    key = write("x.key", site.key)
    os.chmod(key, 0o600)
    settings = settings_for(certfile=write("x.pem", site.pem), keyfile=key)
    for directory in (tmp_path, *tmp_path.parents):
        if directory.stat().st_uid == os.geteuid() and not directory.stat().st_mode & 0o001:
            os.chmod(directory, directory.stat().st_mode | 0o011)
    if os.geteuid():
        os.chmod(key, 0)
    said = in_a_process_as_nobody(lambda: str(refusal(settings)))
    assert "x.key cannot be read by user " in said
    assert "start as root and set user" in said


def in_a_process_as_nobody(call: Callable[[], str]) -> str:
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        try:
            if not os.geteuid():
                os.setgroups([])
                os.setresgid(65534, 65534, 65534)
                os.setresuid(65534, 65534, 65534)
            os.write(writer, call().encode())
        finally:
            os._exit(0)
    os.close(writer)
    with open(reader, encoding="utf-8") as said:
        text = said.read()
    os.waitpid(child, 0)
    return text


# ------------------------------------------------------------------------------------ client certificates


def test_authorities(authority: Authority, site: Issued, settings_for: MakeSettings) -> None:
    material = read_material(settings_for(site, ca_certs=str(authority.certfile), cert_reqs=2))
    assert material.authorities


@pytest.mark.parametrize(
    ("setting", "content", "said"),
    [
        ("ca_certs", "hello", "x is not a PEM file"),
        ("ca_certs", None, "there is no file"),
        ("ca_certs", "-----BEGIN X509 CRL-----\nMIIB\n-----END X509 CRL-----\n", "x holds no certificate"),
        (
            "ca_certs",
            "-----BEGIN CERTIFICATE-----\nMIIBAAAA\n-----END CERTIFICATE-----\n",
            "x: a certificate in it is not one that OpenSSL can read",
        ),
        (
            "ca_certs",
            "-----BEGIN CERTIFICATE-----\nM*IB\n-----END CERTIFICATE-----\n",
            "x: a certificate in it has a CERTIFICATE block that is not valid base64",
        ),
        ("crlfile", "hello", "x is not a PEM file"),
        ("crlfile", None, "there is no file"),
        (
            "crlfile",
            "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n",
            "x holds no revocation",
        ),
        (
            "crlfile",
            "-----BEGIN X509 CRL-----\nMIIBAAAA\n-----END X509 CRL-----\n",
            "x: a list in it ends in the",
        ),
    ],
)
def test_bad_files_for_clients(
    setting: str, content: str | None, said: str, site: Issued, settings_for: MakeSettings, write: Write
) -> None:
    if content is not None:
        write("x", content)
    error = refusal(settings_for(site, **{setting: "x"}))
    assert (error.setting, said in error.message) == (setting, True)
