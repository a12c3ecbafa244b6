//! Figures, not checks: `cargo test --release --test loopback speed -- --ignored --nocapture`.

use crate::guest::{Guest, command, shell, within};
use pyro_host::guest::ExecEvent;
use pyro_protocol::exec::Exec;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Instant;

const ROUNDS: usize = 20_000;

fn raw_ping_pong() -> f64 {
    let (mut one, mut other) = UnixStream::pair().unwrap();
    let echo = std::thread::spawn(move || {
        let mut buffer = [0; 64];
        while let Ok(n_bytes @ 1..) = other.read(&mut buffer) {
            other.write_all(&buffer[..n_bytes]).unwrap();
        }
    });
    let (start, mut buffer) = (Instant::now(), [7; 27]);
    for _ in 0..ROUNDS {
        one.write_all(&buffer).unwrap();
        one.read_exact(&mut buffer).unwrap();
    }
    let took = start.elapsed().as_secs_f64() * 1e6 / ROUNDS as f64;
    drop(one);
    echo.join().unwrap();
    took
}

#[tokio::test]
#[ignore = "a measurement"]
async fn speed() {
    let guest = Guest::start();
    within(guest.connection.welcome()).await.unwrap();
    for _ in 0..3 {
        let raw = raw_ping_pong();
        let start = Instant::now();
        for _ in 0..ROUNDS {
            within(guest.connection.ping()).await.unwrap();
        }
        let ping = start.elapsed().as_secs_f64() * 1e6 / ROUNDS as f64;
        let start = Instant::now();
        for _ in 0..500 {
            guest.run(command(&["true"])).await;
        }
        let exec = start.elapsed().as_secs_f64() * 1e6 / 500.0;
        println!("raw ping-pong {raw:.1} us, ping {ping:.1} us, exec of true {exec:.0} us");
    }
    const BYTES: usize = 1 << 30;
    let start = Instant::now();
    let mut execution = guest.connection.exec(shell(&format!("head -c {BYTES} /dev/zero"))).unwrap();
    let mut total = 0;
    while let Ok(event) = execution.next().await {
        if let ExecEvent::Stdout(bytes) = event {
            total += bytes.len();
        }
    }
    assert_eq!(total, BYTES);
    println!("output {:.0} MB/s", BYTES as f64 / 1e6 / start.elapsed().as_secs_f64());
    let start = Instant::now();
    let mut execution = guest.connection.exec(Exec { stdin: true, ..shell("cat >/dev/null") }).unwrap();
    let mut stdin = execution.stdin().unwrap();
    let piece = vec![0; 1 << 20];
    for _ in 0..BYTES >> 20 {
        stdin.send(&piece).await.unwrap();
    }
    stdin.finish();
    while execution.next().await.is_ok() {}
    println!("input {:.0} MB/s", BYTES as f64 / 1e6 / start.elapsed().as_secs_f64());
    guest.stop();
}
