//! What the dashboards and rules ask for is there when the system has worked.

use integration_tests::{System, document};

#[tokio::test(flavor = "multi_thread")]
async fn the_database_and_the_origins_are_measured() {
    let system = System::start().await;
    let good = system.submit(document("good", 3)).await;
    let bad = system.submit(br#"{"version": {"major": 5, "minor": 3}, "tests": [{"origin": "lab"}]}"#.to_vec()).await;
    assert_eq!(system.wait(&good).await["status"], "processed");
    assert_eq!(system.wait(&bad).await["status"], "failed");
    let ingester = system.metrics("ingester").await;
    for line in [
        "kcidb_db_query_duration_seconds_count{statement=\"insert tests\"} 1",
        "kcidb_db_query_duration_seconds_count{statement=\"commit\"} 1",
        "kcidb_submissions_finished_total{origin=\"lab\",outcome=\"ingested\",reason=\"\"} 1",
        "kcidb_submissions_finished_total{origin=\"lab\",outcome=\"rejected\",reason=\"schema_invalid\"} 1",
        "kcidb_schema_faults_total{origin=\"lab\",rule=",
    ] {
        assert!(ingester.contains(line), "{line}\n{ingester}");
    }
    for service in ["ingester", "logspec", "status"] {
        let metrics = system.metrics(service).await;
        for name in ["kcidb_db_pool_size", "kcidb_db_pool_in_use", "kcidb_db_pool_wait_seconds_count"] {
            assert!(metrics.lines().any(|line| line.starts_with(&format!("{name} "))), "{service}: {name}\n{metrics}");
        }
        let allowed = metrics.lines().find_map(|line| line.strip_prefix("kcidb_db_pool_size "));
        assert!(allowed.is_some_and(|allowed| allowed != "0"), "{service}: {allowed:?}");
    }
    system.stop().await;
}
