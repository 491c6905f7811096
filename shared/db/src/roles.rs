//! The roles of a self-hosted installation (spec: database.md 3) and their rights.
//!
//! Everything here is best effort: a managed database may forbid any of it, and loading does not need it. No password is
//! ever set: an operator gives a new role one before it can log in.

use diesel::{QueryableByName, sql_types::Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl as _, SimpleAsyncConnection as _};

use crate::Error;

/// Reads and writes everything, and may change the tables: the services and the dashboard.
const EDITOR: &str = "kcidb_editor";
/// Reads everything.
const VIEWER: &str = "kcidb_viewer";

/// Makes the roles that are missing and gives them their rights, also to tables that are made later. Returns what was done
/// or could not be done.
pub(crate) async fn grant(connection: &mut AsyncPgConnection, schema: &str) -> Result<Vec<String>, Error> {
    let mut report = Vec::new();
    for role in [EDITOR, VIEWER] {
        if !exists(connection, role).await? {
            match connection.batch_execute(&format!("CREATE ROLE {role} LOGIN")).await {
                Ok(()) => report.push(format!("made role {role}, without a password: set one with \\password {role}")),
                Err(error) => report.push(format!("role {role} is not there and was not made: {}", reason(error)?)),
            }
        }
    }
    let mut refused: Vec<String> = Vec::new();
    for statement in statements(&schema.replace('"', "\"\"")) {
        let role = if statement.contains(VIEWER) { VIEWER } else { EDITOR };
        if !exists(connection, role).await? {
            continue;
        }
        if let Err(error) = connection.batch_execute(&statement).await {
            let reason = format!("rights of {role}: {}", reason(error)?);
            if !refused.contains(&reason) {
                refused.push(reason);
            }
        }
    }
    report.extend(refused);
    Ok(report)
}

/// One right each, so that one that is refused does not take the others with it.
fn statements(schema: &str) -> Vec<String> {
    let mut statements = vec![
        format!("GRANT USAGE, CREATE ON SCHEMA \"{schema}\" TO {EDITOR}"),
        format!("GRANT USAGE ON SCHEMA kcidb_ng TO {EDITOR}"),
    ];
    for schema in [schema, "kcidb_ng"] {
        let schema = format!("\"{schema}\"");
        statements.extend([
            format!("GRANT ALL ON ALL TABLES IN SCHEMA {schema} TO {EDITOR}"),
            format!("GRANT ALL ON ALL SEQUENCES IN SCHEMA {schema} TO {EDITOR}"),
            format!("ALTER DEFAULT PRIVILEGES IN SCHEMA {schema} GRANT ALL ON TABLES TO {EDITOR}"),
            format!("ALTER DEFAULT PRIVILEGES IN SCHEMA {schema} GRANT ALL ON SEQUENCES TO {EDITOR}"),
            format!("GRANT USAGE ON SCHEMA {schema} TO {VIEWER}"),
            format!("GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {VIEWER}"),
            format!("GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA {schema} TO {VIEWER}"),
            format!("ALTER DEFAULT PRIVILEGES IN SCHEMA {schema} GRANT SELECT ON TABLES TO {VIEWER}"),
            // What the editor makes later, for example by a migration of the dashboard, the viewer may read too.
            format!("ALTER DEFAULT PRIVILEGES FOR ROLE {EDITOR} IN SCHEMA {schema} GRANT SELECT ON TABLES TO {VIEWER}"),
        ]);
    }
    statements
}

async fn exists(connection: &mut AsyncPgConnection, role: &str) -> Result<bool, Error> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Text)]
        #[expect(dead_code, reason = "only its presence matters")]
        rolname: String,
    }
    let rows: Vec<Row> = diesel::sql_query("SELECT rolname::text AS rolname FROM pg_roles WHERE rolname = $1")
        .bind::<Text, _>(role)
        .load(connection)
        .await?;
    Ok(!rows.is_empty())
}

/// Why the server refused; an outage is not a refusal.
fn reason(error: diesel::result::Error) -> Result<String, Error> {
    match Error::from(error) {
        Error::Setup { message, .. } => Ok(message),
        other => Err(other),
    }
}
