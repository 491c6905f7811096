//! `kcidb metrics`: every metric of the services, as the page docs/metrics.md. It is made of what the services declare
//! when they start.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    io::{self, Write as _},
    process::ExitCode,
};

use telemetry::metrics::{Family, Label};

const INTRODUCTION: &str = "\
# Metrics
What the services tell Prometheus. This page is what `kcidb metrics` prints, and is not written by hand: after a change of a metric
run `cargo run --quiet --bin kcidb -- metrics > docs/metrics.md`.

Every service has `/metrics` on its admin port. A metric with labels is there as soon as there is something to count. Histograms are
three series: `…_bucket` (with the label `le`), `…_sum` and `…_count`. What `process_…` and `tokio_…` say is of the whole process:
with `kcidb run all` it is the same on all four ports.

The dashboards of `deploy/grafana` and the alerts of `deploy/prometheus` read these and the broker's own:
`rabbitmq_detailed_queue_…` of `/metrics/detailed?family=queue_coarse_metrics&family=queue_consumer_count`, and `rabbitmq_…` of `/metrics`.
";

/// A service with its metrics.
type Service = (&'static str, Vec<Family>);

/// Prints the page.
pub(crate) fn run() -> anyhow::Result<ExitCode> {
    write!(io::stdout(), "{}", page())?;
    Ok(ExitCode::SUCCESS)
}

fn page() -> String {
    let services: [Service; 4] = [
        ("gateway", gateway::metric_families()),
        ("ingester", ingester::metric_families()),
        ("logspec", logspec_worker::metric_families()),
        ("status", status::metric_families()),
    ];
    let old = gateway::old_metric_families();
    let mut page = INTRODUCTION.to_owned();
    shared_section(&mut page, &services);
    for service in &services {
        service_section(&mut page, service, &services);
    }
    old_section(&mut page, &old, &services[0].1);
    labels_section(&mut page, services.iter().flat_map(|(_, families)| families).chain(&old));
    page
}

/// The services that have this very metric.
fn sharing(family: &Family, services: &[Service]) -> Vec<&'static str> {
    services.iter().filter(|(_, families)| families.contains(family)).map(|(name, _)| *name).collect()
}

fn shared_section(page: &mut String, services: &[Service]) {
    heading(page, "Of several services", ["metric", "type", "labels", "services", "meaning"]);
    let all = services.iter().flat_map(|(_, families)| families);
    let once: BTreeMap<&str, &Family> = all.map(|family| (family.name.as_str(), family)).collect();
    for family in once.into_values() {
        let sharing = sharing(family, services);
        if sharing.len() > 1 {
            let whose = if sharing.len() == services.len() { "all".to_owned() } else { sharing.join(", ") };
            row(page, [&code(&family.name), family.kind, &labels(family), &whose, &family.help]);
        }
    }
}

fn service_section(page: &mut String, (name, families): &Service, services: &[Service]) {
    heading(page, name, ["metric", "type", "labels", "meaning"]);
    for family in families.iter().filter(|family| sharing(family, services).len() == 1) {
        row(page, [&code(&family.name), family.kind, &labels(family), &family.help]);
    }
}

/// What the existing system exports, and what becomes of the names on the gateway's admin port.
fn old_section(page: &mut String, old: &[Family], gateway: &[Family]) {
    heading(page, "Names of the existing system", ["metric", "type", "labels", "admin port", "meaning"]);
    for family in old {
        let names = |family: &Family| family.labels.iter().map(|label| label.name).collect::<Vec<_>>();
        let admin = match gateway.iter().find(|other| other.name == family.name) {
            Some(other) if names(other) == names(family) => "the same",
            Some(_) => "with other labels",
            None => "no",
        };
        row(page, [&code(&family.name), family.kind, &labels(family), admin, &family.help]);
    }
    page.push_str("\nThese are on the gateway's traffic port, at `/metrics`, as they always were.\n");
}

/// Every label once, with what keeps its values from growing without end.
fn labels_section<'f>(page: &mut String, families: impl Iterator<Item = &'f Family>) {
    heading(page, "Labels", ["label", "of", "values"]);
    let mut users: BTreeMap<&Label, BTreeSet<String>> = BTreeMap::new();
    for family in families {
        for label in &family.labels {
            users.entry(label).or_default().insert(code(&family.name));
        }
    }
    for (label, users) in users {
        let users = users.into_iter().collect::<Vec<_>>().join(", ");
        row(page, [&code(label.name), &users, &label.values]);
    }
}

fn heading<const N: usize>(page: &mut String, title: &str, columns: [&str; N]) {
    let _ = write!(page, "\n## {title}\n");
    row(page, columns);
    row(page, ["---"; N]);
}

fn row<const N: usize>(page: &mut String, cells: [&str; N]) {
    let _ = writeln!(page, "| {} |", cells.join(" | "));
}

fn code(name: &str) -> String {
    format!("`{name}`")
}

fn labels(family: &Family) -> String {
    family.labels.iter().map(|label| code(label.name)).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_in_docs_is_what_is_printed() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/metrics.md");
        let (printed, written) = (page(), std::fs::read_to_string(path).unwrap_or_default());
        let differs = printed.lines().zip(written.lines()).find(|(now, then)| now != then);
        assert!(
            printed == written,
            "docs/metrics.md is not up to date (first difference: {differs:?}); run `cargo run --quiet --bin kcidb -- metrics > docs/metrics.md`"
        );
    }
}
