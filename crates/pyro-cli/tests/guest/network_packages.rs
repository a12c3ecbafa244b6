//! Package managers in a guest, with the mirrors that this machine itself uses, over its real network. Where it reaches
//! none, nothing of this runs, and that is said. Which they are is read from its configuration.

use crate::home::{Home, report, skipped};
use crate::workspace::Workspace;
use serde_json::json;
use std::net::{IpAddr, TcpStream, ToSocketAddrs};
use std::process::Command;
use std::time::Duration;

/// Small, of one file, and without dependencies.
const PACKAGE: &str = "six";

#[test]
fn apt_updates_in_a_guest() {
    let sources = std::fs::read_dir("/etc/apt/sources.list.d").into_iter().flatten().flatten();
    let texts = sources.map(|file| file.path()).chain(["/etc/apt/sources.list".into()]);
    let texts: String = texts.filter_map(|path| std::fs::read_to_string(path).ok()).collect();
    let is_debian = |word: &&str| word.starts_with("http") && word.trim_end_matches('/').ends_with("/debian");
    let Some(mirror) = texts.split_whitespace().find(is_debian) else {
        return skipped("the apt of this host has no Debian archive that is reached by HTTP");
    };
    let proxy = stdout("apt-config", &["dump", "--format", "%f \"%v\";%n", "Acquire::http::Proxy"]);
    let through = proxy.split('"').nth(1).filter(|url| !url.is_empty()).unwrap_or(mirror);
    let Some(rules) = rules_for(through) else {
        return skipped("the Debian mirror of this host does not answer");
    };
    let home = Home::new();
    let workspace = home.workspace_with_tools_and(&options(&rules));
    workspace.put("/etc/apt/apt.conf.d/90host", &proxy);
    // The environment has the host's mirror in its list. One suite, and a small one, is enough.
    workspace.sh("sed -i '/bookworm-updates/!d' /etc/apt/sources.list && test -s /etc/apt/sources.list");
    let output = workspace.sh("apt-get update 2>&1 || { cat /etc/apt/sources.list; exit 1; }");
    assert!(!output.contains("Err:") && !output.contains("W:"), "{output}");
    assert!(workspace.sh("ls /var/lib/apt/lists").contains("bookworm-updates_InRelease"), "{output}");
    assert_eq!(workspace.network(&[])["denials"], json!([]));
    drop(workspace);
    home.assert_nothing_left();
}

#[test]
fn pip_downloads_in_a_guest() {
    let folder = tempfile::tempdir().unwrap();
    let mut own = Command::new("python3");
    own.args(["-m", "pip", "download", "--no-deps", "--no-cache-dir", "--quiet", "--dest"])
        .arg(folder.path());
    // From the index, not from a folder of this machine.
    let own = own.arg(PACKAGE).env_remove("PIP_FIND_LINKS").env("PIP_DEFAULT_TIMEOUT", "10").output();
    let output = match own {
        Err(error) => return skipped(&format!("there is no python3 here: {error}")),
        Ok(output) => output,
    };
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let why = said.lines().last().unwrap_or_default();
        return skipped(&format!("pip reaches no package index from this host: {why}"));
    }
    let index = setting("index-url");
    let rules = match &index {
        Some(url) => rules_for(url).unwrap(),
        None => vec!["@pypi".to_owned()],
    };
    let home = Home::new();
    let workspace = home.workspace_with_tools_and(&options(&rules));
    let certificates = setting("cert").and_then(|path| std::fs::read_to_string(path).ok());
    if let Some(certificates) = &certificates {
        workspace.put("/root/certificates.pem", certificates);
    }
    download(&workspace, index.as_deref(), certificates.is_some());
    drop(workspace);
    home.assert_nothing_left();
}

fn download(workspace: &Workspace<'_>, index: Option<&str>, has_certificates: bool) {
    let mut words =
        vec!["python3", "-m", "pip", "download", "--no-deps", "--no-cache-dir", "--dest", "/root/packages"];
    words.extend(index.iter().flat_map(|url| ["--index-url", url]));
    words.extend(if has_certificates { &["--cert", "/root/certificates.pem"][..] } else { &[] });
    let trusted = setting("trusted-host");
    words.extend(trusted.iter().flat_map(|host| ["--trusted-host", host]));
    words.push(PACKAGE);
    let output = workspace.exec(&words);
    assert!(output.status.success(), "{}", report(&output));
    assert!(workspace.sh("ls /root/packages").starts_with(PACKAGE));
}

/// What this host's pip is set to.
fn setting(name: &str) -> Option<String> {
    let list = stdout("python3", &["-m", "pip", "config", "list"]);
    let value = list.lines().find_map(|line| line.split_once(&format!(".{name}=")))?.1;
    Some(value.trim_matches('\'').to_owned())
}

fn stdout(program: &str, words: &[&str]) -> String {
    let output = Command::new(program).args(words).output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default()
}

fn options(rules: &[String]) -> Vec<&str> {
    rules.iter().flat_map(|rule| ["--allow", rule]).collect()
}

/// What has to be allowed to reach a URL's host: its name, and its addresses where these are not public. None: the host does
/// not answer.
fn rules_for(url: &str) -> Option<Vec<String>> {
    let (scheme, rest) = url.split_once("://")?;
    let authority = rest.split('/').next()?.rsplit('@').next()?;
    let default = if scheme == "https" { 443 } else { 80 };
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) => (host, port.parse().ok()?),
        None => (authority, default),
    };
    let addresses: Vec<_> = (host, port).to_socket_addrs().ok()?.collect();
    let answers = |address| TcpStream::connect_timeout(address, Duration::from_secs(5)).is_ok();
    addresses.iter().any(answers).then(|| {
        let closed = addresses.iter().filter(|address| !is_public(address.ip()));
        closed.map(ToString::to_string).chain([format!("{host}:{port}")]).collect()
    })
}

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => !(address.is_private() || address.is_link_local() || address.is_loopback()),
        IpAddr::V6(address) => {
            !(address.is_unique_local() || address.is_unicast_link_local() || address.is_loopback())
        }
    }
}
