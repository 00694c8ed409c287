//! `/metrics`: the daemon's state as OpenMetrics text, for Prometheus and what speaks its language.
//!
//! Made of a [`Status`] each time it is asked for; nothing is counted here. Times are in seconds, as the
//! format wants it.

use crate::nvr::port::{ReactorStats, Turns};
use crate::nvr::status::{DirStatus, Status, StreamStatus};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::exemplar::Exemplar;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use std::collections::HashMap;
use std::fmt;
use std::fmt::Write;
use std::time::Duration;

/// The media types: OpenMetrics, and the older text format of Prometheus.
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The state as text and its media type: OpenMetrics for whoever accepts that.
pub fn text(status: Status, accept: Option<&str>) -> (&'static str, String) {
    let mut registry = Registry::with_prefix("moonfire_nvr");
    registry.register_collector(Box::new(Snapshot(status)));
    let mut out = String::new();
    if text::encode(&mut out, &registry).is_err() {
        // Writing to a string cannot fail; half a report would be taken for a whole one.
        out.clear();
    }
    match accept.is_some_and(|a| a.contains("application/openmetrics-text")) {
        true => (OPENMETRICS, out),
        false => (PROMETHEUS, older(&out)),
    }
}

/// OpenMetrics as the older format: there a counter's name has its `_total` in the comments too, and
/// there is no last line.
fn older(openmetrics: &str) -> String {
    let counters: Vec<&str> = openmetrics
        .lines()
        .filter_map(|l| l.strip_prefix("# TYPE ")?.strip_suffix(" counter"))
        .collect();
    let mut out = String::with_capacity(openmetrics.len());
    for line in openmetrics.lines().filter(|l| *l != "# EOF") {
        let comment = line.strip_prefix("# ").and_then(|rest| {
            let (kind, rest) = rest.split_once(' ')?;
            let (name, rest) = rest.split_once(' ')?;
            counters.contains(&name).then_some((kind, name, rest))
        });
        // Writing to a string cannot fail.
        let _ = match comment {
            Some((kind, name, rest)) => writeln!(out, "# {kind} {name}_total {rest}"),
            None => writeln!(out, "{line}"),
        };
    }
    out
}

#[derive(Debug)]
struct Snapshot(Status);

/// What a bucket could show as examples; none does.
type Exemplars = HashMap<usize, Exemplar<[(&'static str, &'static str); 0], f64>>;

type Labels<'a> = [(&'static str, &'a str)];

/// A stream, by its labels.
struct Labelled<'a> {
    camera: &'a str,
    stream: &'a StreamStatus,
}

impl Labelled<'_> {
    fn labels(&self) -> [(&'static str, &str); 2] {
        [
            ("camera", self.camera),
            ("stream", self.stream.kind.as_str()),
        ]
    }
}

impl Collector for Snapshot {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut w = Metrics(&mut encoder);
        let s = &self.0;
        w.counter("build", "Always 1; the version is its label", |f| {
            f.put(&[("version", env!("CARGO_PKG_VERSION"))], 1)
        })?;
        w.gauge("clock_trusted", "Whether the clock can be right", |f| {
            f.put(&[], u64::from(s.clock_trusted))
        })?;
        self.streams(&mut w)?;
        self.directories(&mut w)?;
        w.gauge(
            "uncommitted_recordings",
            "Recordings that are durable and wait for the database",
            |f| f.put(&[], s.uncommitted_recordings as u64),
        )?;
        w.gauge("backlog_bytes", "Bytes on their way to the disks", |f| {
            f.put(&[], s.backlog_bytes)
        })?;
        w.gauge("buffered_bytes", "Bytes in the streams' buffers", |f| {
            f.put(&[], s.buffered_bytes)
        })?;
        w.gauge(
            "database_ok",
            "Whether it took what was last written",
            |f| f.put(&[], u64::from(s.database_trouble.is_none())),
        )?;
        match &s.reactor {
            Some(r) => reactor(&mut w, r),
            None => Ok(()),
        }
    }
}

impl Snapshot {
    fn streams(&self, w: &mut Metrics<'_, '_>) -> fmt::Result {
        let streams: Vec<Labelled<'_>> = self
            .0
            .cameras
            .iter()
            .flat_map(|c| {
                c.streams.iter().map(|stream| Labelled {
                    camera: &c.name,
                    stream,
                })
            })
            .collect();
        let each = |f: &mut Family<'_>, value: &dyn Fn(&StreamStatus) -> u64| {
            streams
                .iter()
                .try_for_each(|s| f.put(&s.labels(), value(s.stream)))
        };
        let secs = |ticks: i64| (ticks.max(0) as u64) / crate::time::TICKS_PER_SECOND as u64;
        w.gauge(
            "stream_wanted",
            "Whether the stream is to be recorded",
            |f| each(f, &|s| u64::from(s.record)),
        )?;
        w.gauge("stream_recording", "Whether it is being recorded", |f| {
            each(f, &|s| u64::from(s.recording))
        })?;
        w.gauge(
            "stream_kept_bytes",
            "Bytes of its recordings that are kept",
            |f| each(f, &|s| s.totals.sample_file_bytes.max(0) as u64),
        )?;
        w.gauge(
            "stream_kept_seconds",
            "How long its kept recordings last",
            |f| each(f, &|s| secs(s.totals.duration.0)),
        )?;
        w.gauge(
            "stream_last_frame_timestamp_seconds",
            "When its newest frame came, in seconds since 1970; 0 before the first",
            |f| each(f, &|s| s.last_sample.map_or(0, |t| secs(t.0))),
        )?;
        w.counter("stream_lost_packets", "RTP packets that never came", |f| {
            each(f, &|s| s.lost_packets)
        })
    }

    fn directories(&self, w: &mut Metrics<'_, '_>) -> fmt::Result {
        let dirs: Vec<(String, &DirStatus)> = self
            .0
            .dirs
            .iter()
            .map(|d| (d.path.display().to_string(), d))
            .collect();
        let each = |f: &mut Family<'_>, value: &dyn Fn(&DirStatus) -> Option<u64>| {
            dirs.iter()
                .filter_map(|(path, d)| Some((path, value(d)?)))
                .try_for_each(|(path, v)| f.put(&[("path", path)], v))
        };
        w.gauge(
            "directory_ready",
            "Whether the sample directory can be used",
            |f| each(f, &|d| Some(u64::from(d.ready))),
        )?;
        w.gauge("directory_full", "Whether it is full", |f| {
            each(f, &|d| Some(u64::from(d.full)))
        })?;
        w.gauge(
            "directory_free_bytes",
            "Free bytes of its file system",
            |f| each(f, &|d| d.free_bytes),
        )?;
        w.gauge("directory_size_bytes", "Bytes of its file system", |f| {
            each(f, &|d| d.total_bytes)
        })
    }
}

fn reactor(w: &mut Metrics<'_, '_>, r: &ReactorStats) -> fmt::Result {
    w.turns(
        "loop_turn_seconds",
        "How long the turns of the event loop kept it busy",
        &r.turns,
    )?;
    w.turns(
        "loop_turn_cpu_seconds",
        "The loop's own processor time of them, without waiting for a processor; below 1 ms how long they took",
        &r.turns_cpu,
    )?;
    w.seconds(
        "loop_longest_turn_seconds",
        "The longest turn so far",
        r.turns.longest,
    )?;
    w.seconds(
        "loop_longest_turn_cpu_seconds",
        "The most processor time of a turn so far",
        r.turns_cpu.longest,
    )?;
    w.gauge(
        "process_resident_memory_bytes",
        "Memory that the program holds",
        |f| f.put(&[], r.process.resident_bytes),
    )?;
    let e = w.0.encode_descriptor(
        "process_cpu_seconds",
        "Processor time that the program took",
        None,
        MetricType::Counter,
    )?;
    ConstCounter::new(r.process.cpu.as_secs_f64()).encode(e)?;
    w.counter(
        "received_bytes",
        "Bytes received from cameras and clients",
        |f| f.put(&[], r.bytes_received),
    )?;
    w.counter("sent_bytes", "Bytes sent to clients and cameras", |f| {
        f.put(&[], r.bytes_sent)
    })?;
    w.gauge("connections", "Sockets that are open", |f| {
        f.put(&[], u64::from(r.connections))
    })?;
    w.counter(
        "connections_refused",
        "Connections turned away because there were too many",
        |f| f.put(&[], r.connections_refused),
    )?;
    w.gauge(
        "disk_operations",
        "Disk operations under way or waiting",
        |f| f.put(&[], u64::from(r.disk_operations)),
    )?;
    w.counter("log_lines_dropped", "Log lines that nobody took", |f| {
        f.put(&[], r.log_lines_dropped)
    })
}

/// Writes families of metrics.
struct Metrics<'a, 'e>(&'a mut DescriptorEncoder<'e>);

/// The metrics of one name.
struct Family<'a> {
    encoder: MetricEncoder<'a>,
    is_counter: bool,
}

impl Metrics<'_, '_> {
    fn gauge(
        &mut self,
        name: &str,
        help: &str,
        values: impl FnOnce(&mut Family<'_>) -> fmt::Result,
    ) -> fmt::Result {
        values(&mut Family {
            encoder: self
                .0
                .encode_descriptor(name, help, None, MetricType::Gauge)?,
            is_counter: false,
        })
    }

    fn counter(
        &mut self,
        name: &str,
        help: &str,
        values: impl FnOnce(&mut Family<'_>) -> fmt::Result,
    ) -> fmt::Result {
        values(&mut Family {
            encoder: self
                .0
                .encode_descriptor(name, help, None, MetricType::Counter)?,
            is_counter: true,
        })
    }

    fn turns(&mut self, name: &str, help: &str, turns: &Turns) -> fmt::Result {
        let mut sum = 0;
        let buckets: Vec<(f64, u64)> = turns
            .counts
            .iter()
            .enumerate()
            .map(|(n, &count)| {
                sum += count;
                match n + 1 < turns.counts.len() {
                    // Bucket n ends at 2^n us.
                    true => ((1u64 << n) as f64 / 1e6, count),
                    false => (f64::MAX, count),
                }
            })
            .collect();
        let mut e = self
            .0
            .encode_descriptor(name, help, None, MetricType::Histogram)?;
        let none: Option<&Exemplars> = None;
        e.encode_histogram(turns.sum.as_secs_f64(), sum, &buckets, none)
    }

    fn seconds(&mut self, name: &str, help: &str, value: Duration) -> fmt::Result {
        let e = self
            .0
            .encode_descriptor(name, help, None, MetricType::Gauge)?;
        ConstGauge::new(value.as_secs_f64()).encode(e)
    }
}

impl Family<'_> {
    fn put(&mut self, labels: &Labels<'_>, value: u64) -> fmt::Result {
        // The encoder puts a label's value between quotes as it is.
        let labels: Vec<(&str, String)> = labels.iter().map(|(k, v)| (*k, escaped(v))).collect();
        let encoder = match labels.is_empty() {
            true => return self.put_bare(value),
            false => self.encoder.encode_family(&labels)?,
        };
        match self.is_counter {
            true => ConstCounter::new(value).encode(encoder),
            false => ConstGauge::new(value).encode(encoder),
        }
    }

    fn put_bare(&mut self, value: u64) -> fmt::Result {
        match self.is_counter {
            true => self
                .encoder
                .encode_counter::<[(&str, &str); 0], _, f64>(&value, None),
            false => self.encoder.encode_gauge(&value),
        }
    }
}

/// OpenMetrics' `escaped-string`: backslash, quote and line feed are escaped.
fn escaped(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for c in value.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_older_format_names_counters_in_full() {
        let openmetrics = "# HELP a_b Bytes.\n# TYPE a_b counter\na_b_total 3\n\
            # HELP c State.\n# TYPE c gauge\nc{x=\"# HELP\"} 1\n# EOF\n";
        let expected = "# HELP a_b_total Bytes.\n# TYPE a_b_total counter\na_b_total 3\n\
            # HELP c State.\n# TYPE c gauge\nc{x=\"# HELP\"} 1\n";
        assert_eq!(older(openmetrics), expected);
    }

    #[test]
    fn labels_are_escaped() {
        assert_eq!(escaped("a\"b\\c\nd"), "a\\\"b\\\\c\\nd");
    }
}
