//! How many submissions a second one gateway takes, what each costs, and what the disk itself can do in the same minute.
//!
//! `cargo bench -p kcidb-gateway` prints a table. The gateway runs in a process of its own, without a broker. The last
//! columns are the disk's rate with as many writers that each write a file of that size, fsync it, rename it and fsync
//! the folder. `BENCH_SECONDS` is the time per row; `BENCH_DIR` is on the disk to measure (default: the target folder).

use std::{
    fs::File,
    io::{BufRead as _, BufReader, Write as _},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use gateway::StatusRoute;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_util::sync::CancellationToken;

#[path = "../tests/start/mod.rs"]
mod start;

const SECRET: &str = "benchmark";

/// In which unit the system counts CPU time; it is this on every Linux.
const TICKS_PER_SECOND: f64 = 100.0;

/// How often gateway and disk take turns in one row.
const TURNS: u32 = 4;

const ROWS: [(usize, usize); 9] = [
    (2_000, 1),
    (2_000, 16),
    (2_000, 64),
    (12_500, 1),
    (12_500, 16),
    (12_500, 64),
    (8_000_000, 1),
    (8_000_000, 16),
    (8_000_000, 64),
];

fn main() {
    let mut arguments = std::env::args().skip(1);
    match (arguments.next().as_deref(), arguments.next()) {
        (Some("serve"), Some(spool)) => serve(Path::new(&spool)),
        _ => measure(),
    }
}

/// The gateway's process: prints its address, and serves until it is ended.
#[tokio::main]
async fn serve(spool: &Path) {
    let config = start::config(spool, SECRET);
    let running = gateway::start(config, StatusRoute::Off, CancellationToken::new()).await.expect("the gateway starts");
    println!("{}", running.address);
    running.finished.await.expect("the gateway does not panic");
}

struct Gateway {
    child: Child,
    address: SocketAddr,
}

impl Gateway {
    fn start(spool: &Path) -> Self {
        let program = std::env::current_exe().expect("the path of this program");
        let mut child =
            Command::new(program).arg("serve").arg(spool).stdout(Stdio::piped()).spawn().expect("the gateway starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped"))
            .read_line(&mut line)
            .expect("the gateway tells its address");
        Self { child, address: line.trim().parse().expect("an address") }
    }

    fn about(&self, file: &str) -> String {
        std::fs::read_to_string(format!("/proc/{}/{file}", self.child.id())).expect("the gateway runs")
    }

    /// Seconds of CPU so far: its own, and the system's for it.
    fn cpu(&self) -> [f64; 2] {
        let about = self.about("stat");
        let fields: Vec<&str> = about.rsplit(") ").next().expect("fields").split(' ').collect();
        [11, 12].map(|at| fields[at].parse::<f64>().expect("a number") / TICKS_PER_SECOND)
    }

    fn peak_mib(&self) -> u64 {
        let about = self.about("status");
        let line = about.lines().find(|line| line.starts_with("VmHWM")).expect("a peak");
        line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).expect("a number") >> 10
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn measure() {
    let seconds = std::env::var("BENCH_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(3.0);
    let parent = std::env::var_os("BENCH_DIR").map_or_else(|| env!("CARGO_TARGET_TMPDIR").into(), PathBuf::from);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    println!(
        "{:>9} {:>5} {:>8} {:>7} {:>7} {:>7} {:>8} {:>8} {:>8} {:>6} {:>6}",
        "bytes", "conns", "POST/s", "MB/s", "p50 ms", "p99 ms", "user ms", "sys ms", "disk/s", "ratio", "RSS MB"
    );
    // Small files stay until the end: ext4 searches long for a new inode while thousands were deleted in the last seconds.
    let mut kept = Vec::new();
    for (bytes, connections) in ROWS {
        let folder = tempfile::tempdir_in(&parent).expect("a folder");
        let spool = folder.path().join("spool");
        std::fs::create_dir(&spool).expect("a folder");
        let gateway = Gateway::start(&spool);
        let request: Arc<[u8]> = request(bytes).into();
        let (mut latencies, mut disk_files) = (Vec::new(), 0);
        // In turns, because what a disk can do changes from one second to the next.
        let turn = Duration::from_secs_f64(seconds / f64::from(TURNS));
        for number in 0..TURNS {
            latencies.extend(runtime.block_on(load(gateway.address, request.clone(), connections, turn)));
            disk_files += disk(&folder.path().join(number.to_string()), bytes, connections, turn);
        }
        latencies.sort_unstable();
        let number = |value: usize| f64::from(u32::try_from(value).expect("a small number"));
        let (count, [user, system]) = (latencies.len(), gateway.cpu());
        let (rate, disk_rate) = (number(count) / seconds, f64::from(disk_files) / seconds);
        let at = |percent: usize| latencies[(count - 1) * percent / 100].as_secs_f64() * 1e3;
        println!(
            "{bytes:>9} {connections:>5} {rate:>8.0} {:>7.1} {:>7.2} {:>7.2} {:>8.3} {:>8.3} {disk_rate:>8.0} {:>6.2} {:>6}",
            rate * number(bytes) / 1e6,
            at(50),
            at(99),
            user * 1e3 / number(count),
            system * 1e3 / number(count),
            rate / disk_rate,
            gateway.peak_mib(),
        );
        if bytes < 1_000_000 {
            kept.push(folder);
        }
    }
}

/// A whole request with a document of about so many bytes.
fn request(bytes: usize) -> Vec<u8> {
    let row = |number: usize| {
        format!(
            r#"{{"id":"bench:{number}","origin":"bench","build_id":"bench:b","path":"ltp.syscalls.case{number}","status":"PASS","start_time":"2026-01-31T12:00:00.123+00:00","duration":1.25,"environment":{{"compatible":["vendor,board","vendor,soc"],"misc":{{"platform":"board-7"}}}},"misc":{{"runtime":"lab-bench","note":"nothing to see here"}}}}"#
        )
    };
    let head = r#"{"version":{"major":5,"minor":3},"tests":["#;
    let mut document = String::from(head);
    for number in 0.. {
        let row = row(number);
        if document.len() + row.len() + 3 > bytes && number > 0 {
            break;
        }
        document.push_str(if number == 0 { "" } else { "," });
        document.push_str(&row);
    }
    document.push_str("]}");
    let expires_at = chrono::Utc::now() + Duration::from_hours(1);
    let token = auth::mint(SECRET, &auth::Mint { origin: "bench".into(), origins: vec![], expires_at });
    let length = document.len();
    format!("POST /submit HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{document}").into_bytes()
}

/// Sends as fast as answers come, on so many connections; returns how long each took.
async fn load(address: SocketAddr, request: Arc<[u8]>, connections: usize, time: Duration) -> Vec<Duration> {
    let end = Instant::now() + time;
    let clients: Vec<_> = (0..connections)
        .map(|_| {
            let request = request.clone();
            tokio::spawn(async move {
                let mut connection = TcpStream::connect(address).await.expect("a connection");
                connection.set_nodelay(true).expect("an option of every connection");
                let (mut latencies, mut answer) = (Vec::new(), vec![0; 4096]);
                while Instant::now() < end {
                    let started = Instant::now();
                    connection.write_all(&request).await.expect("sent");
                    let size = connection.read(&mut answer).await.expect("an answer");
                    assert!(
                        answer[..size].starts_with(b"HTTP/1.1 200"),
                        "{}",
                        String::from_utf8_lossy(&answer[..size])
                    );
                    assert!(answer[..size].ends_with(b"}"), "the answer comes in one piece");
                    latencies.push(started.elapsed());
                }
                latencies
            })
        })
        .collect();
    let mut all = Vec::new();
    for client in clients {
        all.extend(client.await.expect("no panic"));
    }
    all
}

/// Files made durable in that time in a new folder by so many writers, each on its own.
fn disk(root: &Path, bytes: usize, writers: usize, time: Duration) -> u32 {
    std::fs::create_dir(root).expect("a folder");
    let content = vec![b'x'; bytes];
    let end = Instant::now() + time;
    let write = |writer: usize| {
        let mut count = 0_u32;
        while Instant::now() < end {
            let temporary = root.join(format!("{writer}-{count}.temp"));
            let mut file = File::create(&temporary).expect("made");
            file.write_all(&content).and_then(|()| file.sync_data()).expect("written");
            std::fs::rename(&temporary, root.join(format!("{writer}-{count}"))).expect("renamed");
            File::open(root).and_then(|folder| folder.sync_all()).expect("synced");
            count += 1;
        }
        count
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..writers).map(|writer| scope.spawn(move || write(writer))).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).sum()
    })
}
