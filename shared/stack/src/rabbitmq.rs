//! RabbitMQ in a folder, with an Erlang port mapper (epmd) of its own, so that it meets no other node of the machine.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use rustix::process::Signal;
use tokio::sync::Mutex;

use crate::{
    Error, PATIENCE,
    folder::{Folder, State, free_port, is_free, secret, write_private},
    install,
    management::{Management, boot_definitions},
    plugins,
    process::{self, Process, answers},
    servers::Servers,
};

/// The mark of the broker and its helpers.
const BROKER: &str = "rabbitmq";
const EPMD: &str = "epmd";
const NODE: &str = "kcidb@localhost";

/// The RabbitMQ of a folder.
#[derive(Debug)]
pub(crate) struct RabbitMq {
    home: PathBuf,
    servers: Servers,
    process: Mutex<Option<Process>>,
    epmd: Mutex<Option<Process>>,
}

impl RabbitMq {
    pub(crate) fn new(folder: &Folder, state: &mut State) -> Result<Self, Error> {
        let home = folder.path.join("rabbitmq");
        fs::create_dir_all(&home).map_err(Error::file("make", &home))?;
        fs::set_permissions(&home, fs::Permissions::from_mode(0o700)).map_err(Error::file("close", &home))?;
        let ports = &mut state.servers.ports;
        if process::in_folder(&home, BROKER).is_empty() {
            for port in [&mut ports.amqp, &mut ports.management, &mut ports.prometheus, &mut ports.distribution] {
                if !is_free(*port) {
                    *port = free_port();
                }
            }
            if process::in_folder(&home, EPMD).is_empty() && !is_free(ports.epmd) {
                ports.epmd = free_port();
            }
        }
        Ok(Self { home, servers: state.servers.clone(), process: Mutex::default(), epmd: Mutex::default() })
    }

    /// Starts it, or takes over the one that runs here; does nothing when it runs already.
    pub(crate) async fn start(&self) -> Result<(), Error> {
        self.start_epmd().await?;
        let mut slot = self.process.lock().await;
        if slot.as_mut().is_some_and(Process::is_running) {
            return Ok(());
        }
        *slot = None;
        if let Some(pid) = self.broker()
            && answers(self.servers.ports.amqp).await
            && Management::new(&self.servers)?.import(&self.servers).await.is_ok()
        {
            *slot = Some(Process::adopt(pid, "RabbitMQ", &self.log()));
            return Ok(());
        }
        self.end_broker().await;
        let command = self.command()?;
        let mut process = Process::start(command, "RabbitMQ", &self.log())?;
        // The listener comes last, after plugins and definitions; the management API would be too early.
        process.ready(Duration::from_mins(3), async || answers(self.servers.ports.amqp).await).await?;
        *slot = Some(process);
        Ok(())
    }

    async fn start_epmd(&self) -> Result<(), Error> {
        let port = self.servers.ports.epmd;
        let mut slot = self.epmd.lock().await;
        if slot.as_mut().is_some_and(Process::is_running) {
            return Ok(());
        }
        let log = self.home.join("epmd.log");
        if let &[pid] = &process::in_folder(&self.home, EPMD)[..] {
            *slot = Some(Process::adopt(pid, "epmd", &log));
            return Ok(());
        }
        let mut command = process::command(install::program(EPMD).ok_or_else(install::error)?);
        command.args(["-address", "127.0.0.1", "-port", &port.to_string()]).current_dir(&self.home);
        let mut process = Process::start(command, "epmd", &log)?;
        process.ready(Duration::from_secs(10), async || answers(port).await).await?;
        *slot = Some(process);
        Ok(())
    }

    pub(crate) async fn stop(&self) {
        if let Some(mut process) = self.process.lock().await.take() {
            self.prepare_stop().await;
            process.signal(Signal::TERM);
            if !process.ended(PATIENCE).await {
                tracing::warn!("RabbitMQ does not stop: killing it");
            }
            process.kill().await;
        }
        process::kill_in_folder(&self.home, BROKER).await;
        if let Some(epmd) = self.epmd.lock().await.take() {
            epmd.kill().await;
        }
    }

    pub(crate) async fn kill(&self) {
        if let Some(process) = self.process.lock().await.take() {
            process.kill().await;
        }
        process::kill_in_folder(&self.home, BROKER).await;
    }

    /// Ends what runs here without an owner; true when there was something.
    pub(crate) async fn end_leftovers(&self) -> bool {
        let broker = self.end_broker().await;
        let epmd = !process::in_folder(&self.home, EPMD).is_empty();
        process::kill_in_folder(&self.home, EPMD).await;
        broker || epmd
    }

    async fn end_broker(&self) -> bool {
        let any = !process::in_folder(&self.home, BROKER).is_empty();
        if let Some(pid) = self.broker() {
            process::end(pid, Signal::TERM, Duration::from_secs(15)).await;
        }
        process::kill_in_folder(&self.home, BROKER).await;
        any
    }

    /// The broker itself among the processes that run here.
    fn broker(&self) -> Option<u32> {
        process::in_folder(&self.home, BROKER).into_iter().find(|pid| process::is_named(*pid, "beam.smp"))
    }

    pub(crate) async fn leave(&self) {
        for slot in [&self.process, &self.epmd] {
            if let Some(process) = slot.lock().await.take() {
                process.leave();
            }
        }
    }

    pub(crate) async fn pids(&self) -> BTreeMap<&'static str, u32> {
        let mut pids = BTreeMap::new();
        for (name, slot) in [("rabbitmq", &self.process), ("epmd", &self.epmd)] {
            pids.extend(slot.lock().await.as_ref().map(|process| (name, process.pid())));
        }
        pids
    }

    pub(crate) async fn stop_app(&self) -> Result<(), Error> {
        self.prepare_stop().await;
        self.call("rabbit stop []").await
    }

    pub(crate) async fn start_app(&self) -> Result<(), Error> {
        self.call("rabbit start []").await
    }

    fn log(&self) -> PathBuf {
        self.home.join("log")
    }

    /// The broker's management agent disturbs a shutdown: it asks who is busy stopping it, and is waited for in vain for
    /// 5 seconds. Sent away before, it does not.
    async fn prepare_stop(&self) {
        self.call("gen_event delete_handler [rabbit_event, rabbit_mgmt_db_handler, []]").await.ok();
    }

    /// Calls a function of the broker.
    async fn call(&self, function: &str) -> Result<(), Error> {
        let mut call = process::command(install::program("erl_call").ok_or_else(install::error)?);
        self.erlang(&mut call);
        call.args(["-sname", NODE, "-timeout", "60", "-a", function]);
        let source = match tokio::process::Command::from(call).output().await {
            Ok(output) if output.status.success() && output.stdout.starts_with(b"ok") => return Ok(()),
            Ok(output) => std::io::Error::other(String::from_utf8_lossy(&[output.stdout, output.stderr].concat())),
            Err(error) => error,
        };
        Err(Error::Run { program: format!("erl_call {function}"), source })
    }

    /// What every Erlang program here needs: the folder that holds the cookie, and the port mapper.
    fn erlang(&self, command: &mut Command) {
        command.current_dir(&self.home).env("HOME", &self.home);
        command.env("ERL_EPMD_PORT", self.servers.ports.epmd.to_string()).env("ERL_EPMD_ADDRESS", "127.0.0.1");
    }

    fn command(&self) -> Result<Command, Error> {
        self.configure()?;
        let installed = install::rabbitmq().ok_or_else(install::error)?;
        let mut command = process::command(plugins::trimmed(&installed, &self.home).unwrap_or(installed));
        self.erlang(&mut command);
        command.env(process::MARK, BROKER);
        let ports = self.servers.ports;
        let schedulers = std::thread::available_parallelism().map_or(2, usize::from).min(4);
        let erlang = format!(
            "+S {schedulers}:{schedulers} +sbwt none +sbwtdcpu none +sbwtdio none -kernel inet_dist_use_interface {{127,0,0,1}}"
        );
        let path = |name: &str| self.home.join(name).into_os_string();
        command.envs([
            ("RABBITMQ_NODENAME", NODE.into()),
            ("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1".into()),
            ("RABBITMQ_NODE_PORT", ports.amqp.to_string().into()),
            ("RABBITMQ_DIST_PORT", ports.distribution.to_string().into()),
            ("RABBITMQ_MNESIA_BASE", path("data")),
            ("RABBITMQ_LOG_BASE", path("logs")),
            ("RABBITMQ_PID_FILE", path("pid")),
            ("RABBITMQ_CONF_ENV_FILE", "/dev/null".into()),
            ("RABBITMQ_CONFIG_FILE", path("none")),
            ("RABBITMQ_ADVANCED_CONFIG_FILE", path("advanced.config")),
            ("RABBITMQ_ENABLED_PLUGINS_FILE", path("enabled_plugins")),
            ("RABBITMQ_SCHEMA_DIR", path("schema")),
            ("RABBITMQ_GENERATED_CONFIG_DIR", path("generated")),
            ("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", erlang.into()),
            // The script becomes the broker instead of watching over it: we do that.
            ("RUNNING_UNDER_SYSTEMD", "true".into()),
        ]);
        Ok(command)
    }

    /// Writes the broker's files. All settings are Erlang terms: reading `rabbitmq.conf` would cost a second at first start.
    fn configure(&self) -> Result<(), Error> {
        let cookie = self.home.join(".erlang.cookie");
        if !cookie.exists() {
            write_private(&cookie, &secret())?;
        }
        write_private(&self.home.join("enabled_plugins"), "[rabbitmq_management,rabbitmq_prometheus].\n")?;
        let definitions = self.home.join("definitions.json");
        write_private(&definitions, &boot_definitions(&self.servers).to_string())?;
        let settings = settings(&self.servers, &definitions);
        write_private(&self.home.join("advanced.config"), &settings)
    }
}

impl Drop for RabbitMq {
    fn drop(&mut self) {
        if self.process.get_mut().take().is_some() {
            process::kill_once_in_folder(&self.home, BROKER);
        }
    }
}

fn settings(servers: &Servers, definitions: &Path) -> String {
    let ports = servers.ports;
    let definitions = erlang_text(&definitions.to_string_lossy());
    let listen = |port: u16| format!("[{{ip, \"127.0.0.1\"}}, {{port, {port}}}]");
    format!(
        "%% Written at every start.
[{{rabbit, [
  {{tcp_listeners, [{{\"127.0.0.1\", {amqp}}}]}},
  {{loopback_users, []}},
  {{disk_free_limit, 50000000}},
  {{vm_memory_high_watermark, {{absolute, 1000000000}}}},
  {{log, [{{console, [{{enabled, false}}]}}]}},
  {{load_definitions, {definitions}}}]}},
 {{ra, [{{wal_max_size_bytes, 67108864}}]}},
 {{rabbitmq_management, [{{tcp_config, {management}}}]}},
 {{rabbitmq_prometheus, [{{tcp_config, {prometheus}}}]}}].
",
        amqp = ports.amqp,
        management = listen(ports.management),
        prometheus = listen(ports.prometheus),
    )
}

fn erlang_text(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_for_erlang_is_quoted() {
        assert_eq!(erlang_text(r#"/a "b"\c"#), r#""/a \"b\"\\c""#);
    }
}
