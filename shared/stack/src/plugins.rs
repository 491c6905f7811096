//! A RabbitMQ with only the plugins that are used.
//!
//! Erlang looks for each of some thousand modules in every folder of its path, and an installation has 70 folders of plugins.
//! A copy of the start scripts beside links to the needed plugins boots in little more than half the time.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

/// What the broker itself is made of, and the plugins that are switched on.
const WANTED: [&str; 4] = ["rabbit", "rabbitmq_prelaunch", "rabbitmq_management", "rabbitmq_prometheus"];

/// Makes the trimmed RabbitMQ in `home` and returns its start script; `None` when the installation is laid out in
/// another way: then it must be used as it is.
pub(crate) fn trimmed(script: &Path, home: &Path) -> Option<PathBuf> {
    // The installation's scripts do not quote their own path.
    if home.to_str()?.contains(|c: char| !(c.is_ascii_alphanumeric() || "/._-+@".contains(c))) {
        return None;
    }
    let installation = script.canonicalize().ok()?.parent()?.parent()?.to_owned();
    let needed = needed(&installation.join("plugins"))?;
    let target = home.join("server");
    match link(&installation, &needed, &target) {
        Ok(()) => Some(target.join("sbin").join(script.file_name()?)),
        Err(error) => {
            tracing::debug!(%error, "the installation of RabbitMQ is used as it is");
            None
        }
    }
}

/// The folders of the wanted plugins and of everything that they need.
fn needed(plugins: &Path) -> Option<Vec<PathBuf>> {
    let mut installed = BTreeMap::new();
    for folder in fs::read_dir(plugins).ok()?.flatten().map(|entry| entry.path()) {
        let name = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let application = name.rsplit_once('-').map_or(name, |(application, _version)| application).to_owned();
        if let Ok(description) = fs::read_to_string(folder.join("ebin").join(format!("{application}.app"))) {
            installed.insert(application, (folder, description));
        }
    }
    let mut todo: Vec<String> = WANTED.map(str::to_owned).to_vec();
    let mut needed = BTreeSet::new();
    while let Some(application) = todo.pop() {
        // What is not among the plugins comes with Erlang.
        if let Some((folder, description)) = installed.get(&application)
            && needed.insert(folder.clone())
        {
            todo.extend(applications(description));
        }
    }
    WANTED.iter().all(|wanted| installed.contains_key(*wanted)).then(|| needed.into_iter().collect())
}

/// The list `applications` of an Erlang application's description.
fn applications(description: &str) -> Vec<String> {
    let list = description.split_once("{applications").and_then(|(_, rest)| rest.split_once('[')?.1.split_once(']'));
    let names = list.map_or("", |(list, _)| list).split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    names.filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

fn link(installation: &Path, plugins: &[PathBuf], target: &Path) -> io::Result<()> {
    fs::remove_dir_all(target)
        .or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })?;
    fs::create_dir_all(target.join("plugins"))?;
    fs::create_dir_all(target.join("sbin"))?;
    for plugin in plugins {
        symlink(plugin, target.join("plugins").join(plugin.file_name().unwrap_or_default()))?;
    }
    symlink(installation.join("escript"), target.join("escript"))?;
    // Copies: the scripts find the plugins beside the place where they really are.
    for script in fs::read_dir(installation.join("sbin"))? {
        let script = script?;
        fs::copy(script.path(), target.join("sbin").join(script.file_name()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_application_needs_is_read_from_its_description() {
        let description = "{application, x, [\n  {vsn, \"1.0\"},\n  {applications, [kernel,\n    stdlib, rabbit_common]},\n  {env, [a]}]}.";
        assert_eq!(applications(description), ["kernel", "stdlib", "rabbit_common"]);
        assert!(applications("{application, x, []}.").is_empty());
    }

    #[test]
    fn an_installation_of_another_layout_is_used_as_it_is() {
        let home = tempfile::tempdir().expect("a folder");
        let script = home.path().join("rabbitmq-server");
        fs::write(&script, "").expect("written");
        assert_eq!(trimmed(&script, home.path()), None);
    }
}
